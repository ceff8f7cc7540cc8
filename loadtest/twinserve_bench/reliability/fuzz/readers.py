"""Everything that reads what strangers wrote, as a function of bytes that answers, or refuses by an error of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc

from twinserve.inference import open_inference_pb2 as pb
from twinserve.v1 import predict_pb2
from twinserve_bench.reliability.fuzz.mutator import mutations
from twinserve_client import ModelInfo
from twinserve_rest.bodies import read_request
from twinserve_rest.errors import RequestError
from twinserve_rest.tensors import input_arrays, output_names, wanted_outputs
from twinserve_server.access.tokens import parse_tokens
from twinserve_server.artefact.manifest import MANIFEST_NAME, ModelVersion, read_manifest
from twinserve_server.engine.batch_queue import BatchPolicy
from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.feedback import FeedbackStore
from twinserve_server.engine.router import Router, TrafficPolicy
from twinserve_server.engine.served import ServedModel
from twinserve_server.errors import ModelUnavailableError, TwinserveError
from twinserve_server.rpc.callback import DirectMethod
from twinserve_server.rpc.status import outcome_of
from twinserve_server.services.decode import Limits
from twinserve_server.services.open_inference.infer import ModelInferMethod
from twinserve_server.services.predict_method import PredictMethod
from twinserve_server.settings.read import SettingsError, read_settings
from twinserve_server.supervisor.traffic_file import TrafficFile

#: What an error message must never contain.
OURS: Final = frozenset({grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL})
#: Of the model that is asked for.
ITEM: Final = (4, 4)
_INFO: Final = ModelInfo("m", "1", ITEM, ("UINT8", "FP32"), ("a", "b", "c"), 64, (), ("m",), "")


class BlamedError(Exception):
    """A stranger's input was answered as a fault of the server."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One of them: ``read`` takes what it likes and refuses the rest by one of ``refusals``."""

    good: tuple[bytes, ...]
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...] = (TwinserveError,)


@dataclass(slots=True)
class Found:
    """What a run found.

    Attributes:
        taken: inputs that were read.
        refused: those that were refused.
        faults: input and what was raised instead.
    """

    taken: int = 0
    refused: int = 0
    faults: list[tuple[bytes, str]] = field(default_factory=list)


def fuzz(reader: Reader, seed: int, count: int) -> Found:
    """Give ``reader`` ``count`` mutations of what is good."""
    found = Found()
    for data in mutations(reader.good, seed, count):
        try:
            reader.read(data)
        except reader.refusals:
            found.refused += 1
        except Exception as error:  # noqa: BLE001  (that is what is looked for)
            found.faults.append((data, f"{type(error).__name__}: {error}"))
        else:
            found.taken += 1
    return found


def readers(folder: Path, manifests: tuple[bytes, ...]) -> dict[str, Reader]:
    """All of them, by name.

    Args:
        folder: for the files of those who read files.
        manifests: good ones, of a model "m" and its version "1", with artefacts that need not be there.
    """
    model = folder / "m" / "1"
    model.mkdir(parents=True)
    return {
        "Predict": Reader(tuple(predicts()), _method(PredictMethod), (RefusedError, WaitedError)),
        "ModelInfer": Reader(tuple(infers()), _method(ModelInferMethod), (RefusedError, WaitedError)),
        "REST": Reader(tuple(rests()), _rest, (RequestError,)),
        "tokens": Reader(
            (b"# name roles hash\napp predict sha256:" + b"ab" * 32 + b"\nops admin,metrics sha256:" + b"cd" * 32,),
            lambda data: parse_tokens(data.decode(), "tokens"),
            (TwinserveError, UnicodeDecodeError),
        ),
        "manifest": Reader(manifests, _of_file(model / MANIFEST_NAME, lambda path: read_manifest(path.parent))),
        "traffic file": Reader(
            (b'{"generation": 3, "models": {"m": {"weights": {"fp32": 1, "int8": 0.5}, "shadows": {"int8": 0.1}}}}',),
            _of_file(folder / "traffic", lambda path: TrafficFile(path, lambda: {"m": {"fp32", "int8"}})),
        ),
        "settings": Reader(
            (b"int8=0.1 fp32=0.9", b"int8=2", b"int8=0,1", b"8500", b"4,8", b"10.5", b"fp32,int8", b"fast",
             b'{"int8": 0.5}', b"[4, 8]"),
            _settings,
        ),
    }  # fmt: skip


def predicts() -> Iterator[bytes]:
    """Good requests of Predict, lean and by name."""
    pixels = bytes(range(16)) * 2
    tensor = predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_UINT8, shape=(2, *ITEM), data=pixels)
    floats = predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_FP32, shape=ITEM, data=bytes(64))
    for fields in (
        {"input": tensor},
        {"input": floats, "variant": "int8", "request_id": "r1", "routing_key": "somebody", "model": "m"},
        {"inputs": {"input": tensor}},
    ):
        yield predict_pb2.PredictRequest(**fields).SerializeToString()


def infers() -> Iterator[bytes]:
    """Good requests of ModelInfer, typed and raw."""
    infer = pb.ModelInferRequest
    wanted = [infer.InferRequestedOutputTensor(name="probabilities", parameters={"classification": _int(2)})]
    named = {"variant": pb.InferParameter(string_param="int8"), "routing_key": pb.InferParameter(string_param="me")}
    for datatype, contents in (
        ("UINT8", pb.InferTensorContents(uint_contents=list(range(16)))),
        ("FP32", pb.InferTensorContents(fp32_contents=[0.5] * 16)),
    ):
        typed = infer.InferInputTensor(name="input", datatype=datatype, shape=ITEM, contents=contents)
        yield infer(model_name="m", inputs=[typed], outputs=wanted, parameters=named, id="r1").SerializeToString()
    raw = infer.InferInputTensor(name="input", datatype="UINT8", shape=(1, *ITEM))
    yield infer(model_name="m_int8", inputs=[raw], raw_input_contents=[bytes(16)]).SerializeToString()


def rests() -> Iterator[bytes]:
    """Good bodies of REST, in JSON and with a binary tensor: the length of the JSON, a NUL, the body."""
    tensor: dict[str, Any] = {"name": "input", "datatype": "FP32", "shape": [1, *ITEM], "data": [[[0.5] * 4] * 4]}
    outputs = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    yield b"\0" + json.dumps({"inputs": [tensor], "outputs": outputs, "id": "r1"}).encode()
    head = {**tensor, "datatype": "UINT8", "parameters": {"binary_data_size": 16}}
    del head["data"]
    text = json.dumps({"inputs": [head], "parameters": {"routing_key": "me"}}).encode()
    yield str(len(text)).encode() + b"\0" + text + bytes(16)


def _int(value: int) -> pb.InferParameter:
    return pb.InferParameter(int64_param=value)


class _Exchange:
    """Hears of the end of a request, and keeps it: the engine would take what is raised here for a fault of ours."""

    peer = "fuzz"

    def __init__(self) -> None:
        self.end: Exception | None = None

    def answer(self, _: bytes) -> None:
        self.end = BlamedError("answered, though nobody runs a model here")

    def refuse(self, error: BaseException, request_id: str = "") -> None:
        code, message, metadata = outcome_of(error, request_id)
        self.end = WaitedError() if isinstance(error, ModelUnavailableError) else RefusedError(message)
        if code in OURS:
            self.end = BlamedError(f"{code.name}: {message}")
        for key, value in metadata:
            if not key.endswith("-bin") and not (isinstance(value, str) and value.isascii() and value.isprintable()):
                self.end = BlamedError(f"metadata {key}: {value!r} cannot travel")


class WaitedError(Exception):
    """The request was good; there is no model process to run it."""


class RefusedError(Exception):
    """The method refused the request, in a way that is right."""


def _method(kind: Callable[[Engine, Limits], DirectMethod]) -> Callable[[bytes], object]:
    version = ModelVersion("m", "1", ITEM, ("UINT8", "FP32"), "probabilities", ("a", "b", "c"), {})
    names = ("fp32", "int8")
    channels = {name: ModelChannel(version, name, BatchPolicy(), lambda _: None) for name in names}
    served = ServedModel(version, channels, Router(set(names), TrafficPolicy(dict.fromkeys(names, 1.0))))
    method = kind(Engine({"m": served}, "m", [], FeedbackStore()), Limits())

    def begin(data: bytes) -> None:
        exchange = _Exchange()
        method.begin_all([(data, 0, exchange)])
        if exchange.end is not None:
            raise exchange.end

    return begin


def _rest(data: bytes) -> None:
    length, _, body = data.partition(b"\0")
    request, binary = read_request(body, length.decode("latin-1") or None)
    input_arrays(request, binary, _INFO)
    wanted_outputs(request, output_names(_INFO))


def _of_file(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def written(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return written


def _settings(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    refused = None
    for name in _SETTINGS:
        try:
            read_settings({name: text})
        except SettingsError as error:
            refused = error
    if refused is not None:
        raise refused


_SETTINGS: Final = (
    "split", "replicas", "pin", "port", "preferred_batch_sizes", "hang_seconds", "variants", "transport", "shadow"
)  # fmt: skip
