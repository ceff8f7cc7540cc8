"""Authorisation: one check of an RPC's metadata, before its message is read or decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from twinserve_server.access.guard import Guard
from twinserve_server.access.tokens import ADMIN, PREDICT
from twinserve_server.errors import PermissionDeniedError, TwinserveError

#: The role that a service needs; None: anyone may call it, because probes have no token. A service not named here
#: needs the strongest role.
ROLE_OF_SERVICE: Final[dict[str, str | None]] = {
    "twinserve.v1.PredictService": PREDICT,
    "inference.GRPCInferenceService": PREDICT,
    "twinserve.v1.AdminService": ADMIN,
    "grpc.reflection.v1alpha.ServerReflection": PREDICT,
    "grpc.health.v1.Health": None,
}

#: Methods that need a different role from their service.
ROLE_OF_METHOD: Final[dict[tuple[str, str], str]] = {
    ("inference.GRPCInferenceService", "RepositoryModelLoad"): ADMIN,
    ("inference.GRPCInferenceService", "RepositoryModelUnload"): ADMIN,
}

Metadata = Iterable[tuple[str, str | bytes]]
#: Returns why the sender of this metadata may not call; None if it may.
Admit = Callable[[Metadata], TwinserveError | None]


def role_of(service: str, method: str) -> str | None:
    """The role that a call needs; None if it needs none."""
    return ROLE_OF_METHOD.get((service, method), ROLE_OF_SERVICE.get(service, ADMIN))


def admission(guard: Guard | None, service: str, method: str) -> Admit | None:
    """The check for calls of a method; None if there is nothing to check."""
    role = role_of(service, method)
    return None if guard is None or role is None else partial(_refusal, guard, role)


def elsewhere(admit: Admit | None, address: str) -> Admit:
    """The error for an admin call on the wrong port; tells authorised callers the right one."""

    def refusal(metadata: Metadata) -> TwinserveError:
        return (None if admit is None else admit(metadata)) or PermissionDeniedError(
            f"admin calls are answered on {address} only; give it as --admin-target, or admin_target in the SDK"
        )

    return refusal


def _refusal(guard: Guard, role: str, metadata: Metadata) -> TwinserveError | None:
    for key, value in metadata:
        if key == "authorization":
            return guard.refusal(value if isinstance(value, str) else value.decode("latin-1"), role)
    return guard.refusal(None, role)
