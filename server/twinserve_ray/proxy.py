"""What runs in Serve's gRPC proxies: ``grpc_servicer_functions: [twinserve_ray.proxy.add_services]``.

Messages pass a proxy as bytes. The application is taken as the one that is meant, and the deadline goes along, which
Serve would forget. Serve answers INTERNAL when the replica that had a request dies: here it is UNAVAILABLE, so that
clients try again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from twinserve_ray.services import APPLICATION, SERVICES, TIMEOUT_KEY

#: The statuses with which Serve ends a call that has no replica (any more).
_NO_REPLICA: Final = (grpc.StatusCode.INTERNAL, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)
#: A context whose status was not set says 0.
_SUCCESS: Final = (None, 0, grpc.StatusCode.OK)
GONE: Final = "no replica answered: it ended while it had this request, or none runs yet; try again"


def add_services(servicer: Any, server: Any) -> None:  # noqa: ARG001  (Serve answers; the servicer is a stand-in)
    """Register every method of ours with the gRPC server of a Serve proxy."""
    for service in SERVICES:
        server.add_generic_rpc_handlers((_Handlers(service),))


class _Handlers(grpc.GenericRpcHandler):
    """The methods of one service.

    Serve replaces the behaviours in ``_method_handlers`` by its own; what gRPC is given is those, wrapped.
    """

    def __init__(self, service: ServiceDescriptor) -> None:
        self._method_handlers: dict[str, Any] = {
            f"/{service.full_name}/{method.name}": _handler(method) for method in service.methods
        }

    def service(self, handler_call_details: Any) -> Any:
        """The handler of the method that is called; None: it is not one of ours."""
        found = self._method_handlers.get(handler_call_details.method)
        return None if found is None else _wrapped(found)


def _handler(method: MethodDescriptor) -> Any:
    make: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[method.client_streaming, method.server_streaming]
    return make(None)


def _wrapped(handler: Any) -> Any:
    kind = {
        (False, False): "unary_unary",
        (False, True): "unary_stream",
        (True, False): "stream_unary",
        (True, True): "stream_stream",
    }[handler.request_streaming, handler.response_streaming]
    behaviour = getattr(handler, kind)

    async def answer(request: Any, context: Any) -> bytes | None:
        ours = _Context(context)
        response: bytes | None = await behaviour(request, ours)
        ours.finish()
        if context.code() not in _SUCCESS:
            # Left to itself, grpc.aio sends an empty message before the status, and no client retries a call whose
            # answer has begun.
            try:
                await context.abort(context.code(), context.details(), context.trailing_metadata() or ())
            except grpc.aio.AbortError as error:
                # The context keeps the error, and with it this frame; it raises it again by itself.
                error.__traceback__ = error.__context__ = None
            return None
        return response

    async def answer_each(request: Any, context: Any) -> AsyncIterator[bytes]:
        ours = _Context(context)
        async for response in behaviour(request, ours):
            yield response
        ours.finish()

    return handler._replace(**{kind: answer_each if handler.response_streaming else answer})


class _Context:
    """gRPC's context, as Serve's proxy uses it."""

    def __init__(self, context: Any) -> None:
        self._context = context
        #: Whether the status was set after the application had finished.
        self._by_serve = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        """What the caller sent, the application, and how many seconds are left."""
        given = list(self._context.invocation_metadata() or ())
        if not any(key == "application" for key, _ in given):
            given.append(("application", APPLICATION))
        if (remaining := self._context.time_remaining()) is not None:
            given.append((TIMEOUT_KEY, f"{remaining:.6f}"))
        return given

    def set_code(self, code: grpc.StatusCode) -> None:
        """Serve sets the application's status before its trailing metadata, and its own after them."""
        self._by_serve = True
        self._context.set_code(code)

    def set_trailing_metadata(self, metadata: Any) -> None:
        """The application has answered: Serve sends its request id along."""
        self._by_serve = False
        self._context.set_trailing_metadata(metadata)

    def finish(self) -> None:
        """Say of a call that no replica answered that it may be tried again."""
        if self._by_serve and self._context.code() in _NO_REPLICA:
            self._context.set_code(grpc.StatusCode.UNAVAILABLE)
            self._context.set_details(GONE)
