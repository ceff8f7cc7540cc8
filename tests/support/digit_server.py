"""A real gRPC server with a small honest model, which can be told to misbehave.

The model: the class of an image is its pixel sum modulo 10, given the probability 0.91 (the others 0.01 each); the
variant "int8" agrees with "fp32". The server can be told to fail, to be slow, and to answer nonsense.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from twinserve.v1 import admin_pb2, admin_pb2_grpc, predict_pb2, predict_pb2_grpc

MANIFEST = """{
  "schema_version": 1, "model": "digits", "version": "3",
  "input": {"image": {"mode": "L", "foreground": "light_on_dark", "centre_of_mass": true}}
}"""
LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHAPE = (28, 28)
VARIANTS = ("fp32", "int8")


def class_of(image: npt.NDArray[Any]) -> int:
    """What the test model answers for one image."""
    return int(image.sum()) % 10


@dataclass
class Fault:
    """How the server fails a call instead of answering it."""

    code: grpc.StatusCode
    message: str = "told to fail"
    violations: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    retry_after: float | None = None
    metadata: tuple[tuple[str, str], ...] = ()

    def abort(self, context: grpc.ServicerContext) -> None:
        """End the call with this fault's status and details."""
        if not (self.violations or self.reason or self.retry_after is not None):
            context.set_trailing_metadata(self.metadata)
            context.abort(self.code, self.message)
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        details: list[Any] = [error_details_pb2.ErrorInfo(reason=self.reason, domain="test")]
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=name, description=text)
                    for name, text in self.violations
                ]
            )
        )
        if self.retry_after is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(int(self.retry_after * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        context.abort_with_status(rpc_status.to_status(status))


@dataclass
class Behaviour:
    """What the test tells the server to do, and what the server saw."""

    faults: deque[Fault] = field(default_factory=deque)
    describe_faults: deque[Fault] = field(default_factory=deque)
    not_ready: deque[str] = field(default_factory=deque)
    calls: list[str] = field(default_factory=list)
    #: The metadata of the last call of each method.
    seen: dict[str, dict[str, str]] = field(default_factory=dict)
    peer: str = ""
    requests: list[Any] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    holding: bool = False
    lie: Callable[[predict_pb2.PredictResponse], None] | None = None
    stream_read: int = 0
    stream_ended: threading.Event = field(default_factory=threading.Event)
    stream_cut_after: int | None = None
    labels: tuple[str, ...] = LABELS
    manifest_json: str = MANIFEST
    #: Changes with the manifest; empty: a server that does not tell.
    manifest_digest: bytes = b"manifest"


class PredictServicer(predict_pb2_grpc.PredictServiceServicer):
    """Computes what ``class_of`` says."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._do = behaviour
        self._answered: dict[str, npt.NDArray[Any]] = {}

    def _enter(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        self._do.calls.append(method)
        self._do.requests.append(request)
        self._do.seen[method] = {key: str(value) for key, value in context.invocation_metadata()}
        self._do.peer = context.peer()
        faults = self._do.describe_faults if method == "DescribeModel" else self._do.faults
        if faults:
            faults.popleft().abort(context)
        if self._do.holding:
            self._do.hold.wait(10)

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._enter("Predict", request, context)
        return self._answer(request.input, request.variant or "fp32", request)

    def _answer(self, tensor: Any, variant: str, request: Any) -> predict_pb2.PredictResponse:
        dtype = np.dtype(np.uint8 if tensor.datatype == predict_pb2.DATA_TYPE_UINT8 else "<f4")
        images = np.frombuffer(tensor.data, dtype).reshape(-1, *SHAPE)
        classes = np.array([class_of(image) for image in images])
        probabilities = np.full((len(images), 10), 0.01, "<f4")
        probabilities[np.arange(len(images)), classes] = 0.91
        request_id = request.request_id or f"server-{len(self._do.calls)}"
        self._answered[request_id] = classes
        response = predict_pb2.PredictResponse(
            classes=classes,
            probabilities=probabilities.tobytes(),
            class_count=10,
            served_by=predict_pb2.ServedBy(
                model="digits", version="3", variant=variant, sha256="ab" * 32, manifest_digest=self._do.manifest_digest
            ),
            timing=predict_pb2.Timing(
                queue_ns=1_000, inference_ns=2_000, total_ns=9_000, transfer_ns=3_000, batch_size=len(images)
            ),
            request_id=request_id,
            route=predict_pb2.ROUTE_NAMED if getattr(request, "variant", "") else predict_pb2.ROUTE_SPLIT,
        )
        if self._do.lie is not None:
            self._do.lie(response)
        return response

    def PredictStream(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        self._do.calls.append("PredictStream")
        context.add_callback(self._do.stream_ended.set)
        for request in request_iterator:
            self._do.stream_read += 1
            if self._do.stream_cut_after is not None and self._do.stream_read > self._do.stream_cut_after:
                return
            if self._do.holding:
                self._do.hold.wait(10)
            if tuple(request.input.shape)[-2:] != SHAPE:
                error = predict_pb2.StreamError(
                    code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message="input.shape: is wrong", request_id="bad"
                )
                yield predict_pb2.PredictStreamResponse(error=error)
            else:
                response = self._answer(request.input, request.variant or "fp32", request)
                yield predict_pb2.PredictStreamResponse(response=response)

    def Compare(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._enter("Compare", request, context)
        names = list(request.variants) or VARIANTS
        answers = [self._answer(request.input, name, request) for name in names]
        return predict_pb2.CompareResponse(responses=answers)

    def SendFeedback(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._enter("SendFeedback", request, context)
        classes = self._answered.get(request.request_id)
        if classes is None:
            Fault(grpc.StatusCode.NOT_FOUND, "request_id: unknown", reason="UNKNOWN_REQUEST").abort(context)
        correct = int(np.count_nonzero(classes == np.array(request.labels)))
        return predict_pb2.SendFeedbackResponse(variant="fp32", correct=correct, total=len(request.labels))

    def DescribeModel(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._enter("DescribeModel", request, context)
        cold = self._do.not_ready.popleft() if self._do.not_ready else None
        return predict_pb2.DescribeModelResponse(
            model="digits",
            version="3",
            item_shape=SHAPE,
            datatypes=[predict_pb2.DATA_TYPE_UINT8, predict_pb2.DATA_TYPE_FP32],
            labels=self._do.labels,
            max_request_images=1024,
            variants=[
                predict_pb2.VariantDescription(
                    name=name, sha256="ab" * 32, artefact_bytes=1234, ready=name != cold, weight=0.5, max_batch_size=64
                )
                for name in VARIANTS
            ],
            models=["digits"],
            manifest_json=self._do.manifest_json,
            manifest_digest=self._do.manifest_digest,
        )


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """Keeps one policy."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._do = behaviour
        self._traffic = admin_pb2.Traffic(model="digits", weights={"fp32": 1.0}, generation=0)
        self._versions = admin_pb2.ModelVersions(model="digits", active="1")

    def GetTraffic(self, request: Any, context: Any) -> Any:  # noqa: N802
        return admin_pb2.GetTrafficResponse(traffic=self._traffic)

    def SetTraffic(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._do.calls.append("SetTraffic")
        if self._do.faults:
            self._do.faults.popleft().abort(context)
        if request.HasField("if_generation") and request.if_generation != self._traffic.generation:
            Fault(grpc.StatusCode.ABORTED, "generation: is another one by now", reason="CONFLICT").abort(context)
        generation = self._traffic.generation + 1
        self._traffic.CopyFrom(request.traffic)
        self._traffic.model = "digits"
        self._traffic.generation = generation
        return admin_pb2.SetTrafficResponse(traffic=self._traffic)

    def ListVersions(self, request: Any, context: Any) -> Any:  # noqa: N802
        return admin_pb2.ListVersionsResponse(models=[self._versions])

    def LoadVersion(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.version not in {entry.version for entry in self._versions.versions}:
            state = admin_pb2.VERSION_STATE_LOADED
            self._versions.versions.add(version=request.version, state=state, variants=["int8"])
        return admin_pb2.LoadVersionResponse(model=self._versions)

    def ActivateVersion(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._do.calls.append("ActivateVersion")
        if self._do.faults:
            self._do.faults.popleft().abort(context)
        self._versions.previous, self._versions.active = self._versions.active, request.version
        return admin_pb2.ActivateVersionResponse(model=self._versions)

    def UnloadVersion(self, request: Any, context: Any) -> Any:  # noqa: N802
        if not request.all:
            message = f"version {request.version} is active"
            Fault(grpc.StatusCode.FAILED_PRECONDITION, message, reason="PRECONDITION").abort(context)
        self._versions.CopyFrom(admin_pb2.ModelVersions(model="digits"))
        return admin_pb2.UnloadVersionResponse(model=self._versions)

    def GetStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        process = admin_pb2.ProcessStatus(
            name="int8-0", role="model", pid=7, ready=True, restarts=2, variant="int8", pss_bytes=99, cpu_seconds=1.5
        )
        return admin_pb2.GetStatusResponse(version="1.2.3", uptime_seconds=60.0, processes=[process])


@dataclass
class Server:
    """A running server, and what it is told."""

    target: str
    behaviour: Behaviour


@contextmanager
def digit_server(credentials: grpc.ServerCredentials | None = None) -> Iterator[Server]:
    """A running server on a free port of 127.0.0.1."""
    behaviour = Behaviour()
    running = grpc.server(futures.ThreadPoolExecutor(8))
    predict_pb2_grpc.add_PredictServiceServicer_to_server(PredictServicer(behaviour), running)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(AdminServicer(behaviour), running)
    address = "127.0.0.1:0"
    port = running.add_secure_port(address, credentials) if credentials else running.add_insecure_port(address)
    running.start()
    yield Server(f"127.0.0.1:{port}", behaviour)
    behaviour.hold.set()
    running.stop(None).wait()
