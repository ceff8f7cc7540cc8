"""A Ray cluster of several nodes on this machine, and the application as `serve run` starts it from its file."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from support.server_process import wait_until
from twinserve_client import CallError, Client

CONFIG = Path(__file__).parents[2] / "deploy" / "ray" / "cluster.yaml"
READY_SECONDS = 600.0
STORE_BYTES = 80 << 20
#: Ray notices within seconds that a node is gone, and starts no process before it is needed.
VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
}
#: Quick to grow and to shrink.
SCALING = {
    "target_ongoing_requests": 1,
    "upscale_delay_s": 1,
    "downscale_delay_s": 3,
    "metrics_interval_s": 1,
    "look_back_period_s": 3,
}


class ServeCluster:
    """A head and two more nodes, each with a proxy of its own; ended with all their processes on exit."""

    def __init__(self, models: Path, scratch: Path) -> None:
        self._models = models
        self._log_file = scratch / "serve.log"
        self._config_file = scratch / "config.yaml"
        self._stack = ExitStack()
        self._ports = [_free_ports() for _ in range(3)]
        #: The gRPC address of each node's proxy, the head's first.
        self.targets = [f"127.0.0.1:{grpc}" for grpc, _ in self._ports]
        self.target = self.targets[0]
        self.metrics_url = f"http://127.0.0.1:{self._ports[0][1]}"

    def __enter__(self) -> ServeCluster:
        # Ray takes seconds to load, and every run of the tests imports this file.
        from ray.cluster_utils import Cluster

        with ExitStack() as stack:
            environment = stack.enter_context(pytest.MonkeyPatch.context())
            # Ray's sockets lie here, and the paths of sockets are short.
            folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            for name, value in {**VARIABLES, "RAY_TMPDIR": folder}.items():
                environment.setenv(name, value)
            self._cluster = Cluster(initialize_head=True, head_node_args=_node(2))
            stack.callback(self._cluster.shutdown)
            self._nodes = [self._add_node(index) for index in (1, 2)]
            self._config_file.write_text(yaml.safe_dump(self._config()))
            serve = Path(sys.executable).with_name("serve")
            with self._log_file.open("wb") as log:
                self._process = subprocess.Popen(
                    [serve, "run", "--address", self._cluster.address, self._config_file],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "COLUMNS": "200"},
                )
            stack.callback(self._end)
            wait_until(self._is_ready, READY_SECONDS, self.log)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def log(self) -> str:
        """What `serve run` has written."""
        return self._log_file.read_text(errors="replace")

    def client(self, **options: Any) -> Client:
        """Connected to the head's proxy, unless ``target`` says otherwise."""
        return Client(**{"target": self.target, "timeout": 30.0, **options})

    def replicas(self, variant: str) -> list[str]:
        """The names of the replicas of ``variant`` that have reported lately; none while nobody answers."""
        try:
            with self.client() as client:
                processes = client.get_status().processes
        except CallError:
            return []
        return sorted(process.name for process in processes if process.variant == variant and process.ready)

    def gateways(self) -> set[int]:
        """The PIDs of the gateways that have reported lately; none while nobody answers."""
        try:
            with self.client() as client:
                return {process.pid for process in client.get_status().processes if process.role == "gateway"}
        except CallError:
            return set()

    def pids_of_node(self, index: int) -> set[int]:
        """The processes that a node (1 or 2) has started for Ray's work."""
        (raylet,) = self._nodes[index - 1].all_processes["raylet"]
        return {child.pid for child in psutil.Process(raylet.process.pid).children(recursive=True)}

    def kill_node(self, index: int) -> None:
        """SIGKILL every process of a node that is not the head (1 or 2)."""
        self._cluster.remove_node(self._nodes[index - 1], allow_graceful=False)

    def start_node(self, index: int) -> None:
        """Start a node again that was killed."""
        self._nodes[index - 1] = self._add_node(index)

    def scrape(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """The metrics of the application."""
        with urlopen(f"{self.metrics_url}/metrics", timeout=30) as page:
            text = page.read().decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over the series with these labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.scrape().items() if found == name and wanted <= has)

    def _add_node(self, index: int) -> Any:
        grpc, http = self._ports[index]
        variables = {
            "RAY_SERVE_WORKER_PROXY_GRPC_PORT": str(grpc),
            "RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(http),
        }
        return self._cluster.add_node(**_node(1), env_vars=variables)

    def _config(self) -> dict[str, Any]:
        """The file in deploy/, for a small machine with other ports."""
        config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
        grpc, http = self._ports[0]
        config["grpc_options"]["port"] = grpc
        config["http_options"] |= {"host": "127.0.0.1", "port": http}
        (application,) = config["applications"]
        application["args"]["models"] = str(self._models)
        for deployment in application["deployments"]:
            deployment["ray_actor_options"] = {"num_cpus": 0.05}
            deployment |= {"health_check_period_s": 2, "graceful_shutdown_timeout_s": 5}
            if "autoscaling_config" in deployment:
                deployment["autoscaling_config"] |= {**SCALING, "max_replicas": 3}
            if deployment["name"] == "mnist-int8":
                deployment["autoscaling_config"]["min_replicas"] = 1
        return config

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"serve run ended with {self._process.returncode}:\n{self.log()}")
        try:
            for target in self.targets:
                with self.client(target=target, timeout=5.0) as client:
                    client.wait_until_ready(5.0)
        except CallError:
            return False
        return True

    def _end(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _node(cpus: int) -> dict[str, Any]:
    return {
        "num_cpus": cpus,
        "object_store_memory": STORE_BYTES,
        "include_dashboard": False,
    }


def _free_ports() -> tuple[int, int]:
    """For gRPC and HTTP."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
