"""Spoilt messages to every method, as good gRPC calls: each is answered or refused, never as a fault of the server."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from twinserve.inference import open_inference_pb2
from twinserve.v1 import admin_pb2, predict_pb2
from twinserve_bench.reliability.fuzz.mutator import mutations
from twinserve_bench.reliability.fuzz.readers import OURS, infers, predicts

METHODS: Final[Sequence[MethodDescriptor]] = [
    method
    for proto in (predict_pb2, open_inference_pb2, health_pb2, reflection_pb2, admin_pb2)
    for service in proto.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
IN_FLIGHT: Final = 32
#: Of one stream.
MESSAGES_A_STREAM: Final = 16
TIMEOUT_SECONDS: Final = 20.0
#: Nobody's: an operator's good call would change what is served.
_NAME: Final = "nobody"
_DEPTH: Final = 3


@dataclass(slots=True)
class Found:
    """What a run found.

    Attributes:
        sent: messages.
        codes: calls by the name of their status.
        blamed: calls that ended as faults of the server: method, status, what it said.
    """

    sent: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    blamed: list[tuple[str, str, str]] = field(default_factory=list)


def assault(port: int, seed: int, until: float, most: int) -> Found:
    """Send ``most`` messages, or as many as there is time for, to each method in turn."""
    found = Found()
    spoilt = {method: mutations(good(method), seed, 1 << 40) for method in METHODS}
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
        under_way: deque[tuple[MethodDescriptor, Any]] = deque()
        while found.sent < most and time.monotonic() < until:
            for method in METHODS:
                streams = method.client_streaming
                sent = list(islice(spoilt[method], MESSAGES_A_STREAM if streams else 1))
                found.sent += len(sent)
                path = f"/{method.containing_service.full_name}/{method.name}"
                streaming: Any = channel.stream_stream(path)
                unary: Any = channel.unary_unary(path)
                if method.server_streaming:
                    call = streaming(iter(sent), timeout=TIMEOUT_SECONDS)
                else:
                    call = unary.future(sent[0], timeout=TIMEOUT_SECONDS)
                under_way.append((method, call))
                if len(under_way) > IN_FLIGHT:
                    _settle(found, *under_way.popleft())
        for one in under_way:
            _settle(found, *one)
    return found


def good(method: MethodDescriptor) -> list[bytes]:
    """Good messages of a method: one with every field, and those that the in-process runs spoil."""
    made = [_filled(method.input_type, _DEPTH).SerializeToString()]
    if method.input_type.name == "PredictRequest":
        made += predicts()
    elif method.input_type.name == "ModelInferRequest":
        made += infers()
    return made


def _settle(found: Found, method: MethodDescriptor, call: Any) -> None:
    try:
        if not method.server_streaming:
            call.result()
        elif method.client_streaming:
            for _ in call:
                pass
        else:
            # It tells of changes, and would go on.
            next(call, None)
            call.cancel()
        found.codes["OK"] += 1
    except grpc.RpcError as error:
        code = error.code()
        found.codes[code.name] += 1
        if code in OURS:
            found.blamed.append((method.full_name, code.name, (error.details() or "")[:200]))


def _filled(kind: Descriptor, depth: int) -> Any:
    """A message with something in every field."""
    message = GetMessageClass(kind)()
    for one in kind.fields:
        _fill(message, one, depth)
    return message


def _fill(message: Any, one: FieldDescriptor, depth: int) -> None:
    if one.message_type is None:
        value: Any = _NAME
        if one.type == FieldDescriptor.TYPE_BYTES:
            value = _NAME.encode()
        elif one.type == FieldDescriptor.TYPE_BOOL:
            value = True
        elif one.type != FieldDescriptor.TYPE_STRING:
            value = 1
        if one.is_repeated:
            getattr(message, one.name).append(value)
        else:
            setattr(message, one.name, value)
    elif one.message_type.GetOptions().map_entry:
        key, value = (one.message_type.fields_by_name[name] for name in ("key", "value"))
        if key.type == FieldDescriptor.TYPE_STRING and value.message_type is None:
            entries = getattr(message, one.name)
            entries[_NAME] = _NAME if value.type == FieldDescriptor.TYPE_STRING else 1
    elif depth:
        inner = _filled(one.message_type, depth - 1)
        if one.is_repeated:
            getattr(message, one.name).append(inner)
        else:
            getattr(message, one.name).CopyFrom(inner)
