"""A finished call as the bytes of a ``ModelInferResponse``.

As in ``services.encode``: what all answers of a variant share is encoded once, the rest is concatenated.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from twinserve.inference import open_inference_pb2 as pb
from twinserve_server.engine.call import TIMING, Call
from twinserve_server.engine.job import Buffer, Job
from twinserve_server.errors import TwinserveError
from twinserve_server.rpc.status import message_of
from twinserve_server.services.encode import varint
from twinserve_server.services.open_inference.decode import WantedOutput
from twinserve_server.services.open_inference.names import CLASSES

_LENGTH_DELIMITED = 2
_TAG_ID: Final = bytes([3 << 3 | _LENGTH_DELIMITED])
_TAG_PARAMETER: Final = bytes([4 << 3 | _LENGTH_DELIMITED])
_TAG_RAW: Final = bytes([6 << 3 | _LENGTH_DELIMITED])
_TAG_KEY: Final = bytes([1 << 3 | _LENGTH_DELIMITED])
_TAG_VALUE: Final = bytes([2 << 3 | _LENGTH_DELIMITED])
_TAG_INT64: Final = bytes([2 << 3])
_TAG_STREAM_RESPONSE: Final = bytes([2 << 3 | _LENGTH_DELIMITED])


def encode_response(call: Call, job: Job, name: str, wanted: tuple[WantedOutput, ...]) -> bytes:
    """The wire bytes of the ``ModelInferResponse`` of a call that ended well.

    Args:
        call: a finished call.
        job: its job.
        name: the model as the request named it.
        wanted: the outputs, in order.
    """
    version = call.served.version
    request_id = call.answer_id.encode()
    parts: list[Buffer] = [
        _head(
            name,
            version.version,
            call.variant,
            version.variants[call.variant].sha256,
            call.route,
            wanted,
            job.count,
            version.classes,
        ),
        _TAG_ID,
        varint(len(request_id)),
        request_id,
        _number("queue_ns", job.queue_ns),
        _number("total_ns", call.total_ns),
        _shared_numbers(job.transfer_ns, job.preprocess_ns, job.inference_ns, job.postprocess_ns, job.batch_size),
    ]
    for output in wanted:
        content = _contents(output, job, version.classes, version.labels)
        parts += (_TAG_RAW, varint(len(content)), content)
    return b"".join(parts)


def encode_stream_response(response: bytes) -> bytes:
    """The wire bytes of a ``ModelStreamInferResponse`` around a ``ModelInferResponse``."""
    return b"".join((_TAG_STREAM_RESPONSE, varint(len(response)), response))


def encode_stream_failure(error: TwinserveError, request_id: str) -> bytes:
    """The wire bytes of a ``ModelStreamInferResponse`` with the error of one request."""
    response = pb.ModelInferResponse(id=request_id)
    return pb.ModelStreamInferResponse(error_message=message_of(error), infer_response=response).SerializeToString()


@lru_cache(maxsize=1024)
def _head(
    name: str,
    version: str,
    variant: str,
    sha256: str,
    route: str,
    wanted: tuple[WantedOutput, ...],
    count: int,
    classes: int,
) -> bytes:
    outputs = []
    for output in wanted:
        if output.top:
            datatype, columns = "BYTES", output.top
        elif output.name == CLASSES:
            datatype, columns = "UINT32", 1
        else:
            datatype, columns = "FP32", classes
        outputs.append(
            pb.ModelInferResponse.InferOutputTensor(name=output.name, datatype=datatype, shape=[count, columns])
        )
    texts = {"variant": variant, "route": route, "sha256": sha256}
    return pb.ModelInferResponse(
        model_name=name,
        model_version=version,
        outputs=outputs,
        parameters={key: pb.InferParameter(string_param=value) for key, value in texts.items()},
    ).SerializeToString()


def _prefix(key: str, digits: int) -> bytes:
    """An entry of ``parameters`` (a map entry is a message of key and value) up to its number of ``digits`` bytes."""
    body = _TAG_KEY + varint(len(key)) + key.encode()
    inner = digits + 1
    return _TAG_PARAMETER + varint(len(body) + 2 + inner) + body + _TAG_VALUE + varint(inner) + _TAG_INT64


#: By the width of the number, 1 to 10 bytes.
_PREFIXES: Final = {key: tuple(_prefix(key, digits) for digits in range(11)) for key in TIMING}
#: What a request's ``TIMING`` has in common with that of its batch.
_SHARED: Final = tuple(key for key in TIMING if key not in ("queue_ns", "total_ns"))


def _number(key: str, value: int) -> bytes:
    """The entry of ``parameters`` for one of ``TIMING``."""
    number = varint(value)
    return _PREFIXES[key][len(number)] + number


@lru_cache(maxsize=64)
def _shared_numbers(*values: int) -> bytes:
    """The entries that the requests of one batch have alike."""
    return b"".join(map(_number, _SHARED, values))


def _contents(output: WantedOutput, job: Job, classes: int, labels: tuple[str, ...]) -> Buffer:
    if output.top:
        return _classification(job, output.top, classes, labels)
    return job.classes if output.name == CLASSES else job.probabilities


def _classification(job: Job, top: int, classes: int, labels: tuple[str, ...]) -> bytes:
    """BYTES elements ``value:index:label``, the most probable first, each after its length (little-endian uint32)."""
    rows = np.frombuffer(job.probabilities, "<f4").reshape(job.count, classes)
    elements = []
    for row in rows:
        for index in np.argsort(-row, kind="stable")[:top].tolist():
            element = f"{row[index]:f}:{index}:{labels[index]}".encode()
            elements += [len(element).to_bytes(4, "little"), element]
    return b"".join(elements)
