"""Model versions on running servers: ``client.versions`` lists, loads, activates and unloads them."""

# ruff: noqa: ASYNC109  (a timeout here is gRPC's deadline, which the server sees too; asyncio.timeout is not)

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twinserve_client import _fleet
from twinserve_client._async_session import AsyncSession
from twinserve_client._calls import Call, Calls
from twinserve_client._channel import Connection
from twinserve_client._session import Session
from twinserve_client._waiting import Deadline
from twinserve_client.types import ModelVersions

#: Seconds that loading a version may take: its processes start, read the artefacts and warm up.
LOAD_SECONDS: Final = 600.0


class Versions:
    """The versions of a client's model, on every server behind its target. Safe to share between threads."""

    def __init__(
        self, connection: Connection, session: Session, calls: Calls, deadline: Callable[[float | None], Deadline]
    ) -> None:
        self._connection = connection
        self._session = session
        self._calls = calls
        self._deadline = deadline

    def list(self, *, timeout: float | None = None) -> tuple[ModelVersions, ...]:
        """The versions of the client's model, or of every model if the client names none.

        Raises:
            ConflictError: the servers' active or loaded versions differ.
            NotFoundError: no such model.
            CallError: any other failure; see the table in ``errors``.
        """
        call = self._calls.list_versions()
        if not self._connection.target.several:
            return self._session.run(call, self._deadline(timeout).seconds)
        return _fleet.agreed_versions(self._session.each(lambda _: call, self._deadline(timeout)))

    def load(self, version: str | int | None = None, *, timeout: float | None = LOAD_SECONDS) -> ModelVersions:
        """Load a version alongside the others. Returns once it is warm and answers requests that name it (``int8@2``).

        Loading continues even if the caller stops waiting.

        Args:
            version: the version to load; None for the highest on disk.
            timeout: seconds; None for the client's own.

        Raises:
            NotFoundError: no such version.
            ConflictError: the version is broken or cannot be loaded; the message names the file and the cause. The
                versions loaded before keep serving.
            PartlyAppliedError: some servers applied the change and others failed; names them.
            CallError: any other failure; see the table in ``errors``.
        """
        return self._change(self._calls.load_version(version), timeout)

    def activate(
        self,
        version: str | int | None = None,
        *,
        keep_previous: bool = False,
        if_active: str | int | None = None,
        timeout: float | None = LOAD_SECONDS,
    ) -> ModelVersions:
        """Route requests that name no version to this one, loading it first if necessary. No request is lost.

        To roll back, activate ``ModelVersions.previous``.

        Args:
            version: the version to activate; None for the highest on disk.
            keep_previous: keep the previously active version loaded, so that a rollback is immediate.
            if_active: change only if this version is active.
            timeout: seconds; None for the client's own.

        Raises:
            ConflictError: as for :meth:`load`; or the active version is not ``if_active``; or the traffic policy names
                a variant that this version does not have.
            CallError: as for :meth:`load`.
        """
        return self._change(self._calls.activate_version(version, keep_previous, if_active), timeout)

    def unload(self, version: str | int, *, timeout: float | None = LOAD_SECONDS) -> ModelVersions:
        """Unload an inactive version. Returns once its pending requests are answered and its processes have exited.

        Raises:
            NotFoundError: the version is not loaded.
            ConflictError: the version is active, or the traffic policy names it.
            CallError: as for :meth:`load`.
        """
        return self._change(self._calls.unload_version(version), timeout)

    def unload_all(self, *, timeout: float | None = LOAD_SECONDS) -> ModelVersions:
        """Unload every version of the client's model. It answers no requests until a version is activated again.

        Raises:
            NotFoundError: the model is not loaded.
            ConflictError: it is the model of requests that name none.
            CallError: as for :meth:`load`.
        """
        return self._change(self._calls.unload_all(), timeout)

    def _change(self, call: Call[ModelVersions], timeout: float | None) -> ModelVersions:
        deadline = self._deadline(timeout)
        if not self._connection.target.several:
            return self._session.run(call, deadline.seconds)
        return next(iter(_fleet.changed("versions", self._session.each(lambda _: call, deadline)).values()))


class AsyncVersions:
    """The methods of :class:`Versions` as coroutines."""

    def __init__(
        self, connection: Connection, session: AsyncSession, calls: Calls, deadline: Callable[[float | None], Deadline]
    ) -> None:
        self._connection = connection
        self._session = session
        self._calls = calls
        self._deadline = deadline

    async def list(self, *, timeout: float | None = None) -> tuple[ModelVersions, ...]:
        """The versions of the client's model; see :meth:`Versions.list`."""
        call = self._calls.list_versions()
        if not self._connection.target.several:
            return await self._session.run(call, self._deadline(timeout).seconds)
        return _fleet.agreed_versions(await self._session.each(lambda _: call, self._deadline(timeout)))

    async def load(self, version: str | int | None = None, *, timeout: float | None = LOAD_SECONDS) -> ModelVersions:
        """Load a version alongside the others; see :meth:`Versions.load`."""
        return await self._change(self._calls.load_version(version), timeout)

    async def activate(
        self,
        version: str | int | None = None,
        *,
        keep_previous: bool = False,
        if_active: str | int | None = None,
        timeout: float | None = LOAD_SECONDS,
    ) -> ModelVersions:
        """Route requests that name no version to this one; see :meth:`Versions.activate`."""
        return await self._change(self._calls.activate_version(version, keep_previous, if_active), timeout)

    async def unload(self, version: str | int, *, timeout: float | None = LOAD_SECONDS) -> ModelVersions:
        """Unload an inactive version; see :meth:`Versions.unload`."""
        return await self._change(self._calls.unload_version(version), timeout)

    async def unload_all(self, *, timeout: float | None = LOAD_SECONDS) -> ModelVersions:
        """Unload every version of the client's model; see :meth:`Versions.unload_all`."""
        return await self._change(self._calls.unload_all(), timeout)

    async def _change(self, call: Call[ModelVersions], timeout: float | None) -> ModelVersions:
        deadline = self._deadline(timeout)
        if not self._connection.target.several:
            return await self._session.run(call, deadline.seconds)
        return next(iter(_fleet.changed("versions", await self._session.each(lambda _: call, deadline)).values()))
