"""What the observability tests share: a pair with a baseline, one observed server under mixed traffic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from observability.prometheus_process import PrometheusProcess
from observability.traffic import mixed_traffic
from support.server_process import ServerProcess
from support.tiny_model import make_tiny_models


@dataclass(frozen=True, slots=True)
class Observed:
    """A server that has had traffic of every kind, and the Prometheus that watched it."""

    server: ServerProcess
    prometheus: PrometheusProcess


@pytest.fixture(scope="session")
def twin_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pair, its int8 said to be quantised: so fp32 is the baseline."""
    root = make_tiny_models(tmp_path_factory.mktemp("twin"), runtime="onnx")
    path = root / "tiny" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["variants"]["int8"]["quantization"] = {"method": "static"}
    path.write_text(json.dumps(manifest))
    return root


@pytest.fixture(scope="session")
def served(twin_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server with two gateways, split and shadow."""
    shares = {"weights": {"fp32": 0.5, "int8": 0.5}, "shadows": {"int8": 0.5}}
    file = tmp_path_factory.mktemp("traffic") / "traffic.json"
    file.write_text(json.dumps({"generation": 1, "models": {"tiny": shares}}))
    flags = ("--gateways", "2", "--traffic", str(file))
    with ServerProcess(twin_models, tmp_path_factory.mktemp("served"), *flags) as server:
        yield server


@pytest.fixture(scope="session")
def observed(served: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """The server after some seconds of traffic of every kind, idle again, and the Prometheus that watched it."""
    with PrometheusProcess(served.metrics_port, tmp_path_factory.mktemp("prometheus")) as prometheus:
        prometheus.wait_for_scrape()
        with mixed_traffic(served):
            for _ in range(6):
                prometheus.wait_for_scrape()
        # Rules rest on each other: the last of them sees what was scraped three evaluations before.
        for _ in range(3):
            prometheus.wait_for_scrape()
        yield Observed(served, prometheus)
