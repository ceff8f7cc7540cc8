"""Whom a transport lets in: one check of an RPC's metadata, before its message is read or decoded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any, Final

import grpc

from twinserve_server.access.guard import Guard
from twinserve_server.access.tokens import ADMIN, PREDICT
from twinserve_server.errors import TwinserveError
from twinserve_server.rpc.errors import abort
from twinserve_server.rpc.handler import Handler

#: The role that a service needs; None: anybody may call it, because what watches a server holds no token. A service
#: that is not named here needs the strongest.
ROLE_OF_SERVICE: Final[dict[str, str | None]] = {
    "twinserve.v1.PredictService": PREDICT,
    "inference.GRPCInferenceService": PREDICT,
    "twinserve.v1.AdminService": ADMIN,
    "grpc.reflection.v1alpha.ServerReflection": PREDICT,
    "grpc.health.v1.Health": None,
}

Metadata = Iterable[tuple[str, str | bytes]]
#: Why the sender of this metadata may not call; None: it may.
Admit = Callable[[Metadata], TwinserveError | None]


def admission(guard: Guard | None, service: str) -> Admit | None:
    """The check of the calls of ``service``; None: there is nothing to check."""
    role = ROLE_OF_SERVICE.get(service, ADMIN)
    return None if guard is None or role is None else partial(_refusal, guard, role)


def _refusal(guard: Guard, role: str, metadata: Metadata) -> TwinserveError | None:
    for key, value in metadata:
        if key == "authorization":
            return guard.refusal(value if isinstance(value, str) else value.decode("latin-1"), role)
    return guard.refusal(None, role)


class AuthInterceptor:
    """Lets in callers whose token has the role that the method needs."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def wrap(self, handler: Handler) -> Handler:
        """``handler``, behind the check."""
        admit = admission(self._guard, handler.service)
        if admit is None:
            return handler
        behaviour = handler.behaviour

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if (error := admit(context.invocation_metadata() or ())) is not None:
                await abort(context, error)
            return await behaviour(request, context)

        async def generate(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            if (error := admit(context.invocation_metadata() or ())) is not None:
                await abort(context, error)
            async for response in behaviour(request, context):
                yield response

        return handler.around(generate if handler.generates else answer)
