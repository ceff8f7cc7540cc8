"""The methods of a service, read from its descriptor: nothing in the proto is repeated in code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from twinserve_server.errors import InvalidInputError
from twinserve_server.rpc.callback import DirectMethod, DirectStream
from twinserve_server.rpc.coroutine import ask, ask_each

#: (request or requests, context) -> a coroutine, or an async generator of responses.
Behaviour = Callable[[Any, Any], Any]

_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RpcMethod:
    """One method of a service.

    Attributes:
        service: the full name, as on the wire.
        name: as on the wire.
        parse: parses the request; None if the behaviour takes bytes.
        behaviour: called with the request (or an async iterator of requests) and the context.
        request_streaming: whether many requests come.
        response_streaming: whether many responses go.
        direct: the same method without coroutines, for a transport that can call it so.
    """

    service: str
    name: str
    parse: Callable[[bytes], Any] | None
    behaviour: Behaviour
    request_streaming: bool = False
    response_streaming: bool = False
    direct: DirectMethod | DirectStream | None = None

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


def parse_message(parse: Callable[[bytes], T], path: str, raw: bytes) -> T:
    """Parse a request to the method ``path`` (``package.Service/Method``).

    Raises:
        InvalidInputError: the bytes are not such a message.
    """
    try:
        return parse(raw)
    except DecodeError:
        raise InvalidInputError(f"the request is not a message that {path} takes ({len(raw)} bytes)") from None


def methods_of(service: ServiceDescriptor, servicer: object) -> list[RpcMethod]:
    """The methods of ``service`` that ``servicer`` has an attribute for, named as the method or in snake case.

    Each is a coroutine function or an async generator function of (request, context), or a :class:`DirectMethod` or
    :class:`DirectStream`. A method that the servicer lacks is UNIMPLEMENTED, which every transport answers by itself.
    """
    found = ((method, _attribute(servicer, method.name)) for method in service.methods)
    return [_method(service.full_name, method, attribute) for method, attribute in found if attribute is not None]


def _attribute(servicer: object, name: str) -> Any:
    # The servicers that come with gRPC name their methods as on the wire.
    return getattr(servicer, name, None) or getattr(servicer, _WORD.sub("_", name).lower(), None)


def _method(service: str, method: MethodDescriptor, found: Any) -> RpcMethod:
    streaming = (method.client_streaming, method.server_streaming)
    if isinstance(found, DirectStream):
        return RpcMethod(service, method.name, None, ask_each(found), *streaming, found)
    if isinstance(found, DirectMethod):
        return RpcMethod(service, method.name, None, ask(found), *streaming, found)
    return RpcMethod(service, method.name, GetMessageClass(method.input_type).FromString, found, *streaming)
