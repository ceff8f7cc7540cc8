"""A real server: `twinserve serve` as a process of its own, on free ports, ended by its PID."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import Request, urlopen

import grpc
from prometheus_client.parser import text_string_to_metric_families

from support.tiny_model import UInt8Array
from twinserve.v1 import admin_pb2, admin_pb2_grpc, predict_pb2, predict_pb2_grpc

READY_SECONDS = 180.0
#: Everything that a caller sees is the same on both.
TRANSPORTS = ("aio", "fast", "native")
#: Those that speak TLS.
TLS_TRANSPORTS = ("aio", "fast")


class ServerProcess:
    """Starts on entry and waits until everything is ready; drains on exit."""

    def __init__(
        self,
        models: Path,
        scratch: Path,
        *flags: str,
        certificates: Path | None = None,
        program: Path | None = None,
        stderr: int | None = None,
    ) -> None:
        """
        Args:
            models: the model folder.
            scratch: for the log and the ready file.
            flags: of ``twinserve serve``.
            certificates: of ``make_certificates``, for a server that speaks TLS.
            program: the ``twinserve`` to run; None: this environment's.
            stderr: what it gets as standard error; None: the log.
        """
        self._program = [sys.executable, "-m", "twinserve_server"] if program is None else [str(program), "serve"]
        self._stderr = stderr
        scratch.mkdir(parents=True, exist_ok=True)
        self.ready_file = scratch / "ready.json"
        self.log_file = scratch / "server.log"
        self._flags = ["--models", str(models), "--port", "0", "--metrics-port", "0", *flags]
        self.tls = certificates is not None
        self._credentials: grpc.ChannelCredentials | None = None
        if certificates is not None:
            self._flags += [
                "--tls-cert",
                str(certificates / "server.pem"),
                "--tls-key",
                str(certificates / "server.key"),
            ]
            self._credentials = grpc.ssl_channel_credentials((certificates / "ca.pem").read_bytes())
        self.grpc_port = 0
        self.metrics_port = 0
        #: For the metrics, where they want a token.
        self.headers: dict[str, str] = {}
        #: The transport asked for, where a test runs over several.
        self.transport = ""

    def __enter__(self) -> ServerProcess:
        command = [*self._program, *self._flags, "--ready-file", str(self.ready_file)]
        with self.log_file.open("wb") as log:
            stderr = log if self._stderr is None else self._stderr
            self.process = subprocess.Popen(command, stderr=stderr, stdout=log, env={**os.environ, "COLUMNS": "200"})
        try:
            wait_until(lambda: self.ready_file.exists() or self.process.poll() is not None, READY_SECONDS, self.log)
        except TimeoutError:
            self.process.kill()
            raise
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.log()}")
        ready = json.loads(self.ready_file.read_text())
        self.grpc_port, self.metrics_port = ready["grpc_port"], ready["metrics_port"]
        self.target = f"127.0.0.1:{self.grpc_port}"
        self.channel = self.connect()
        self.predict = predict_pb2_grpc.PredictServiceStub(self.channel)
        self.admin_target = f"127.0.0.1:{ready['admin_port']}"
        # Where both are one, so is the connection: it may be the only one that does not meet a gateway which hangs.
        self.admin_channel = self.channel if self.admin_target == self.target else self.connect(self.admin_target)
        self.admin = admin_pb2_grpc.AdminServiceStub(self.admin_channel)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.channel.close()
        self.admin_channel.close()
        self.stop()

    def connect(self, target: str = "") -> grpc.Channel:
        """A connection of its own, so that it may meet another gateway."""
        target = target or self.target
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        if self._credentials is not None:
            return grpc.secure_channel(target, self._credentials, options)
        return grpc.insecure_channel(target, options)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def log(self) -> str:
        """What the server has written."""
        return self.log_file.read_text(errors="replace")

    def processes(self) -> list[admin_pb2.ProcessStatus]:
        """Every process of the server."""
        return list(self.admin.GetStatus(admin_pb2.GetStatusRequest(), timeout=5).processes)

    def kill(self, name: str) -> int:
        """SIGKILL one process by name; its PID."""
        pid = next(process.pid for process in self.processes() if process.name == name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop_process(self, name: str) -> int:
        """SIGSTOP one process by name, as if it hung; its PID."""
        pid = next(process.pid for process in self.processes() if process.name == name)
        os.kill(pid, signal.SIGSTOP)
        return pid

    def wait_restarted(self, name: str, restarts: int = 1) -> None:
        """Wait until a process was restarted that often and is ready again."""

        def back() -> bool:
            try:
                return any(
                    process.name == name and process.ready and process.restarts == restarts
                    for process in self.processes()
                )
            except grpc.RpcError:
                return False

        wait_until(back, READY_SECONDS, self.log)

    def scrape(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample of /metrics by (name, labels)."""
        page = Request(f"http://127.0.0.1:{self.metrics_port}/metrics", headers=self.headers)
        text = urlopen(page, timeout=5).read().decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of ``name`` that carry ``labels``."""
        wanted = frozenset(labels.items())
        return sum(value for (found, got), value in self.scrape().items() if found == name and wanted <= got)


def tensor(pixels: UInt8Array) -> predict_pb2.Tensor:
    """Pixels as a UINT8 tensor."""
    return predict_pb2.Tensor(datatype=predict_pb2.DATA_TYPE_UINT8, shape=pixels.shape, data=pixels.tobytes())


def request(pixels: UInt8Array, **fields: Any) -> predict_pb2.PredictRequest:
    """A request for ``pixels``."""
    return predict_pb2.PredictRequest(input=tensor(pixels), **fields)


def failures(calls: Iterable[Any]) -> list[Any]:
    """The errors (``grpc.RpcError`` with ``code()`` and ``details()``) of those calls that failed; waits for all."""
    return [error for call in calls if (error := call.exception()) is not None]


def wait_until(condition: Any, seconds: float, explain: Any = lambda: "") -> None:
    """Poll ``condition`` until it holds; fail with ``explain()`` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {seconds} s: {explain()}")
        time.sleep(0.02)
