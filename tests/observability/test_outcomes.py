"""Every way an RPC can end is counted once, under the status its caller saw."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.server_process import ServerProcess, request, wait_until
from support.tiny_model import POISON, items, make_tiny_models

EACH = 5


@pytest.fixture(scope="module")
def fragile_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_models(tmp_path_factory.mktemp("fragile"), ("fp32", "fragile"), runtime="onnx")


def codes_of(futures: list[Any]) -> list[str]:
    return [future.code().name for future in futures]


def handled(server: ServerProcess) -> dict[str, int]:
    """RPCs of Predict by status."""
    return {
        dict(labels)["grpc_code"]: int(value)
        for (name, labels), value in server.scrape().items()
        if name == "grpc_server_handled_total" and ("grpc_method", "Predict") in labels and value
    }


def refusals(server: ServerProcess) -> dict[str, int]:
    """Requests that met a variant and got no answer, by reason."""
    return {
        dict(labels)["reason"]: int(value)
        for (name, labels), value in server.scrape().items()
        if name == "twinserve_refused_total" and value
    }


@pytest.mark.parametrize("transport", ["aio", "auto"])
def test_every_outcome_is_counted_once_and_right(fragile_models: Path, tmp_path: Path, transport: str) -> None:
    flags = ("--gateways", "1", "--transport", transport, "--max-queue-images", str(4 * EACH), "--hang-seconds", "0")
    with ServerProcess(fragile_models, tmp_path / "server", *flags) as server:
        seen: Counter[str] = Counter()
        call = server.predict.Predict
        poisoned = items(1)
        poisoned[0, 3, 3] = POISON
        malformed = request(items(1))
        malformed.input.data += b"\0"
        for message in (
            request(items(1)),
            malformed,
            request(items(1), variant="int4"),
            request(poisoned, variant="fragile"),
        ):
            for _ in range(EACH):
                seen.update(codes_of([call.future(message, timeout=30)]))
        assert seen == {"OK": EACH, "INVALID_ARGUMENT": EACH, "NOT_FOUND": EACH, "INTERNAL": EACH}

        # What met a variant and was refused says its name, also where the caller gave it none.
        named: Any = call.future(request(poisoned, variant="fragile", request_id="mine"), timeout=30)
        seen.update(codes_of([named]))
        assert ("x-request-id", "mine") in [tuple(entry) for entry in named.trailing_metadata()]

        (pid,) = [process.pid for process in server.processes() if process.name == "tiny-fp32-0"]
        os.kill(pid, signal.SIGSTOP)
        try:
            # In the model process, so that all later ones wait in the queue.
            held = call.future(request(items(1), variant="fp32"), timeout=60)
            wait_until(lambda: server.metric("twinserve_in_flight_images") == 1, 30)
            gone = [call.future(request(items(2), variant="fp32"), timeout=60) for _ in range(EACH)]
            wait_until(lambda: server.metric("twinserve_queue_depth_images") == 2 * EACH, 30)
            refused = [call.future(request(items(3 * EACH), variant="fp32"), timeout=60) for _ in range(EACH)]
            seen.update(codes_of(refused))
            # gRPC rounds such a timeout up on the wire: the server's view of it is later than the caller's.
            late = [call.future(request(items(1), variant="fp32"), timeout=2.037) for _ in range(EACH)]
            for future in gone:
                future.cancel()
            seen.update(["CANCELLED"] * EACH)
            seen.update(codes_of(late))
        finally:
            os.kill(pid, signal.SIGCONT)
        seen.update(codes_of([held]))

        assert seen == {
            "OK": EACH + 1,
            "INVALID_ARGUMENT": EACH,
            "NOT_FOUND": EACH,
            "INTERNAL": EACH + 1,
            "DEADLINE_EXCEEDED": EACH,
            "CANCELLED": EACH,
            "RESOURCE_EXHAUSTED": EACH,
        }
        wait_until(lambda: sum(handled(server).values()) == sum(seen.values()), 30)
        assert handled(server) == seen
        assert server.metric("grpc_server_started_total", grpc_method="Predict") == sum(seen.values())
        assert refusals(server) == {
            "INFERENCE_FAILED": EACH + 1,
            "DEADLINE_PASSED": EACH,
            "CANCELLED": EACH,
            "QUEUE_FULL": EACH,
        }
