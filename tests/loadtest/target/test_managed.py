"""A server for a while: started on free ports, and certainly stopped again."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from support.server_process import wait_until
from twinserve_client import Client
from twinserve_loadtest.target.managed import ManagedServer, ServerStartError
from twinserve_loadtest.target.metrics import MetricsError, read_metrics

SERVE = [sys.executable, "-m", "twinserve_server", "--models"]


def test_it_serves_inside_the_block_and_is_gone_after_an_error_in_it(tiny_models: Path, tmp_path: Path) -> None:
    server = ManagedServer([*SERVE, str(tiny_models)], tmp_path / "logs" / "server.log")
    pids: list[int] = []

    def use() -> None:
        with server:
            with Client(server.address.target) as client:
                pids.extend(process.pid for process in client.get_status().processes)
            page = read_metrics(server.address.metrics_url)
            assert page.sum("twinserve_model_ready", variant="int8") == 1
            assert page.sum("twinserve_model_ready", variant="int4") is None
            assert page.cpu_seconds("tiny").keys() == {"fp32", "int8"}
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert len(pids) >= 3
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 10)
    assert (tmp_path / "logs" / "server.log").stat().st_size > 0


def test_a_server_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none")
    with (
        pytest.raises(ServerStartError, match="ended with exit code 1: error: model folder"),
        ManagedServer([*SERVE, nowhere, "--no-build"], tmp_path / "server.log"),
    ):
        pytest.fail("there is nothing to serve")


@pytest.mark.parametrize(("url", "text"), [("8502", "no metrics address"), ("http://127.0.0.1:1", "could not be read")])
def test_metrics_that_cannot_be_read_are_said_with_the_address(url: str, text: str) -> None:
    with pytest.raises(MetricsError, match=text):
        read_metrics(url)
