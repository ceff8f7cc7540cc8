"""What connections may take, and which transport bounds it."""

from __future__ import annotations

from twinserve_server.errors import TwinserveError
from twinserve_server.settings.server import ServerSettings
from twinserve_server.transport.base import ConnectionLimits


class LimitError(TwinserveError):
    """The transport that was asked for does not have the limit that was asked for."""

    reason = "LIMIT"


def connection_limits(settings: ServerSettings) -> ConnectionLimits:
    """What follows from ``settings``.

    Raises:
        LimitError: the native transport is asked for a limit that its library does not have.
    """
    if settings.transport == "native":
        usual = ServerSettings()
        for name in ("max_connections", "max_idle_seconds"):
            if (given := getattr(settings, name)) != getattr(usual, name):
                raise LimitError(
                    f"--{name.replace('_', '-')} {given:g}: --transport native does not bound it; leave it out, or "
                    "choose fast or aio"
                )
    return ConnectionLimits(
        settings.max_connections,
        settings.max_connection_calls,
        settings.max_metadata_kib << 10,
        settings.max_idle_seconds,
        settings.max_idle_call_seconds,
    )
