"""What a process of the server does not use, it does not load: it would stay in memory as long as the server runs."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("process", "absent"),
    [
        (
            "twinserve_client.cli.root, twinserve_server.cli, twinserve_server.serve",
            ["numpy", "grpc", "torch", "rich.traceback"],
        ),
        ("twinserve_server.gateway", ["rich", "torch", "pydantic"]),
        ("twinserve_server.model.process", ["rich", "grpc", "pydantic"]),
    ],
    ids=["supervisor", "gateway", "model process"],
)
def test_what_a_process_does_not_load(process: str, absent: list[str]) -> None:
    code = f"import sys, {process}; print(*(name for name in {absent} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "\n"


def test_what_structlog_does_without_can_be_loaded_later() -> None:
    code = "import twinserve_server.structured_log, rich.traceback; print(rich.traceback.Traceback.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "Traceback\n"
