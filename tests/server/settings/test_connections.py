"""What the settings say of connections, and what no transport is asked for in vain."""

from __future__ import annotations

from typing import Any

import pytest

from twinserve_server.settings.connections import LimitError, connection_limits
from twinserve_server.settings.server import ServerSettings
from twinserve_server.transport.base import NEVER_MS, ConnectionLimits, ListenOptions, channel_arguments


def test_the_limits_are_those_of_the_settings() -> None:
    given = ServerSettings(
        max_connections=7, max_connection_calls=5, max_metadata_kib=8, max_idle_seconds=1.5, max_idle_call_seconds=2.5
    )
    assert connection_limits(given) == ConnectionLimits(7, 5, 8192, 1.5, 2.5)


@pytest.mark.parametrize(("seconds", "milliseconds"), [(0.0, NEVER_MS), (1e-6, 1), (1.5, 1500)])
def test_no_idling_is_too_short_for_grpc_and_0_is_for_ever(seconds: float, milliseconds: int) -> None:
    options = ListenOptions("", 0, False, 1, None, ConnectionLimits(idle_seconds=seconds))
    assert dict(channel_arguments(options))["grpc.max_connection_idle_ms"] == milliseconds


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_connections": 7}, "--max-connections 7: --transport native does not bound it; leave it out"),
        ({"max_idle_seconds": 1.5}, "--max-idle-seconds 1.5: --transport native does not bound it; leave it out"),
    ],
)
def test_the_native_transport_takes_no_limit_that_it_does_not_have(given: dict[str, Any], said: str) -> None:
    connection_limits(ServerSettings(transport="native"))
    with pytest.raises(LimitError) as caught:
        connection_limits(ServerSettings(transport="native", **given))
    assert caught.value.message.startswith(said)
