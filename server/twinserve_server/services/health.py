"""gRPC's health service; reports what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Set
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthService:
    """What :meth:`set` says, until :meth:`drain`.

    grpcio-health-checking's own service keeps a drain waiting for its watchers, for the whole grace period, and forgets
    the other watchers of a service when one of them leaves.
    """

    def __init__(self) -> None:
        self._states: dict[str, int] = {"": NOT_SERVING}
        self._variants: Set[str] = set()
        self._draining = False
        #: Set and replaced whenever a state changes.
        self._changed = asyncio.Event()

    def set(self, service: str, serving: bool) -> None:
        """Set whether ``service`` is serving; ignored once the drain has begun."""
        state = SERVING if serving else NOT_SERVING
        if not self._draining and self._states.get(service) != state:
            self._states[service] = state
            self._wake()

    def set_variants(self, ready: Mapping[str, bool]) -> None:
        """Set whether each variant, ``model/variant``, is serving; variants left out are not."""
        for name in self._variants - ready.keys():
            self.set(name, False)
        self._variants = ready.keys()
        for name, serving in ready.items():
            self.set(name, serving)

    def drain(self) -> None:
        """Report NOT_SERVING for every service from now on; watches then end."""
        self._draining = True
        self._states = dict.fromkeys(self._states, NOT_SERVING)
        self._wake()

    async def check(self, request: Any, context: Any) -> Any:
        """The state of ``request.service``; NOT_FOUND for an unknown service."""
        state = self._states.get(request.service)
        if state is None:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse(status=state)

    async def watch(self, request: Any, context: Any) -> None:
        """The state of ``request.service`` now, and each time it changes."""
        told = None
        while True:
            changed = self._changed
            state = self._states.get(request.service, SERVICE_UNKNOWN)
            if state != told:
                await context.write(health_pb2.HealthCheckResponse(status=state))
                told = state
            elif self._draining:
                return
            else:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
