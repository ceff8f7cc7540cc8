"""Only calls that are open count towards a connection's limit, not those that have ended, however they were served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.server_process import ServerProcess, request
from support.tiny_model import items

LIMIT = 8


@pytest.mark.parametrize("transport", ["aio", "fast"])
@pytest.mark.parametrize("level", ["info", "debug"])
def test_a_connection_carries_any_number_of_calls_in_turn(
    serve: Callable[..., ServerProcess], tiny_models: Path, transport: str, level: str
) -> None:
    flags = ("--gateways", "1", "--transport", transport, "--log-level", level, "--max-connection-calls", str(LIMIT))
    server = serve(tiny_models, *flags)
    for _ in range(3 * LIMIT):
        assert server.predict.Predict(request(items(1)), timeout=60).classes
        assert len(list(server.predict.PredictStream(iter([request(items(1))]), timeout=60))) == 1
