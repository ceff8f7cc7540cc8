"""A server for a while: started on free ports, and certainly stopped again."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from support.server_process import ServerProcess, wait_until
from twinserve_client import Client
from twinserve_loadtest.target.describe import describe_target
from twinserve_loadtest.target.managed import ManagedServer, ServerStartError
from twinserve_loadtest.target.metrics import MetricsError, read_metrics
from twinserve_loadtest.target.servers import servers_of

TWINSERVE = Path(sysconfig.get_path("scripts")) / "twinserve"
SERVE = [sys.executable, "-m", "twinserve_server", "--models"]


def test_it_serves_inside_the_block_and_is_gone_after_an_error_in_it(tiny_models: Path, tmp_path: Path) -> None:
    server = ManagedServer([*SERVE, str(tiny_models)], tmp_path / "logs" / "server.log")
    pids: list[int] = []

    def use() -> None:
        with server:
            with Client(server.address.target) as client:
                pids.extend(process.pid for process in client.get_status().processes)
            model, _ = describe_target(servers_of(server.address.target), None, None)
            page = read_metrics(server.address.metrics_url)
            assert page.sum("twinserve_model_ready", variant="int8") == 1
            assert page.sum("twinserve_model_ready", variant="int4") is None
            assert all(page.cpu_seconds("tiny", variant) is not None for variant in model.variants.values())
            assert page.cpu_seconds("tiny", replace(model.variants["int8"], version="2")) is None
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


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("8502", "is not a metrics address"),
        ("http://127.0.0.1:http", "is not a metrics address"),
        ("http://[::1", "is not a metrics address"),
        ("http://:8502", "is not a metrics address"),
        ("http://127.0.0.1:1", "could not be read"),
        ("http://127.0.0.1:99999", "is not a metrics address"),
        ("http://in valid/", "could not be read"),
    ],
)
def test_metrics_that_cannot_be_read_are_said_with_the_address(url: str, text: str) -> None:
    with pytest.raises(MetricsError, match=text):
        read_metrics(url)


@pytest.mark.parametrize("page", [b"<html>[/]</html>", b"up 1\n", b'{"a": 1}', b"", b"\xff", b"a{b=\n", b'x{a="1"} y'])
def test_a_page_of_something_else_is_told_from_one_of_ours(page: bytes) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(MetricsError, match=r"not with the metrics of twinserve|could not be read") as told:
            read_metrics(url)
        server.shutdown()
    assert str(told.value).startswith(f"{url}/metrics: ")
    assert "\n" not in str(told.value)


def test_top_at_the_port_of_grpc_says_so_in_a_line(tiny_models: Path, shared_server: ServerProcess) -> None:
    url = f"http://127.0.0.1:{shared_server.grpc_port}"
    done = subprocess.run([TWINSERVE, "top", url], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {url}/metrics: the metrics could not be read (not an HTTP answer: BadStatus")
    assert done.stderr.count("\n") == 1
