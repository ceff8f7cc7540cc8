"""RPC handlers as values that interceptors can wrap."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import grpc

from twinserve_server.rpc.callback import DirectMethod, DirectStreamMethod

#: (request or requests, context) -> a coroutine, or an async generator of responses.
Behaviour = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Handler:
    """One RPC method.

    Attributes:
        service: the full name, as on the wire.
        method: the name, as on the wire.
        parse: request bytes to a message.
        serialize: a response message to bytes; None: it is bytes already.
        behaviour: what is called with the request (or an async iterator of requests) and the context.
        request_streaming: whether many requests come.
        response_streaming: whether many responses go.
        direct: the same unary method without coroutines, for a transport that can call it so; it counts and maps
            errors itself, outside the interceptors, by the same rules.
        direct_stream: the same for a bidirectional stream.
    """

    service: str
    method: str
    parse: Callable[[bytes], Any] | None
    serialize: Callable[[Any], bytes] | None
    behaviour: Behaviour
    request_streaming: bool = False
    response_streaming: bool = False
    direct: DirectMethod | None = None
    direct_stream: DirectStreamMethod | None = None

    @property
    def kind(self) -> str:
        """``unary``, ``client_stream``, ``server_stream`` or ``bidi_stream``, as gRPC's metrics name them."""
        if self.request_streaming:
            return "bidi_stream" if self.response_streaming else "client_stream"
        return "server_stream" if self.response_streaming else "unary"

    @property
    def generates(self) -> bool:
        """Whether the behaviour is an async generator of responses."""
        return inspect.isasyncgenfunction(self.behaviour)

    def around(self, behaviour: Behaviour) -> Handler:
        """This handler with another behaviour, of the same form."""
        return replace(self, behaviour=behaviour)

    def to_grpc(self) -> grpc.RpcMethodHandler[Any, Any]:
        """The form that grpc registers. Requests stay bytes: the behaviour parses them."""
        make: Any = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[self.request_streaming, self.response_streaming]
        handler: grpc.RpcMethodHandler[Any, Any] = make(self.behaviour, None, self.serialize)
        return handler


class Interceptor(Protocol):
    """Wraps a handler's behaviour."""

    def wrap(self, handler: Handler) -> Handler:
        """``handler``, with something around it."""


def wrap_all(handlers: Sequence[Handler], interceptors: Sequence[Interceptor]) -> list[Handler]:
    """``handlers`` with every interceptor around them, the first one outermost."""
    wrapped = list(handlers)
    for interceptor in reversed(interceptors):
        wrapped = [interceptor.wrap(handler) for handler in wrapped]
    return wrapped


class HandlerCollector:
    """Stands in for a server where a library adds its servicer, and keeps the handlers it adds."""

    def __init__(self) -> None:
        self.handlers: list[Handler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Part of grpc's server interface; the same handlers come through the other method too."""

    def add_registered_method_handlers(self, service: str, methods: dict[str, Any]) -> None:
        """Keep the handlers of ``service``."""
        for method, found in methods.items():
            self.handlers.append(
                Handler(
                    service,
                    method,
                    found.request_deserializer,
                    found.response_serializer,
                    found.unary_unary or found.unary_stream or found.stream_unary or found.stream_stream,
                    found.request_streaming,
                    found.response_streaming,
                )
            )
