"""The project's own tools, and a real Prometheus, take the Ray application for what they know: a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from observability import promql
from observability.prometheus_process import PrometheusProcess
from support.load import Load
from support.serve_cluster import ServeCluster
from twinserve_loadtest.record.files import read_record
from twinserve_loadtest.record.testset import load_test_set

#: Without these a board would show nothing of a variant.
ESSENTIAL = {
    "twinserve_requests_total",
    "twinserve_request_duration_seconds_bucket",
    "twinserve_stage_duration_seconds_sum",
    "twinserve_batch_size_images_sum",
    "twinserve_queue_depth_images",
    "twinserve_model_resident_bytes",
    "twinserve_model_added_bytes",
}

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


def twinserve(command: str, cluster: ServeCluster, digits: Path, output: Path, *options: str) -> int:
    """Run ``twinserve <command>`` against the cluster; its exit code."""
    arguments = [command, *options, "--target", cluster.target, "--metrics-url", cluster.metrics_url]
    arguments += ["--models", str(digits), "--images", "100", "--output", str(output)]
    return subprocess.run([str(Path(sys.executable).with_name("twinserve")), *arguments], check=False).returncode


def test_a_load_test_measures_both_variants(cluster: ServeCluster, digits: Path, tmp_path: Path) -> None:
    assert twinserve("loadtest", cluster, digits, tmp_path / "loadtest.json", "--duration", "3") == 0
    record = read_record(tmp_path / "loadtest.json")
    assert sorted(record.runs["accuracy"].arms) == ["fp32", "int8"]
    for variant in record.model.variants.values():
        assert variant.memory is not None
        assert variant.memory.added_by_stage


def test_a_comparison_ends_with_a_verdict(cluster: ServeCluster, digits: Path, tmp_path: Path) -> None:
    output = tmp_path / "compare.json"
    assert twinserve("compare", cluster, digits, output, "fp32", "int8", "--quick", "--time", "30") in (0, 1, 2)
    comparison = read_record(output).comparison
    assert comparison is not None
    assert comparison.verdict is not None


@pytest.mark.prometheus
def test_prometheus_reads_the_series_that_the_boards_ask_for(
    cluster: ServeCluster, digits: Path, tmp_path: Path
) -> None:
    images = load_test_set(digits / "mnist").images[:20]
    port = int(cluster.metrics_url.rpartition(":")[2])
    # A page takes three calls through Ray.
    with PrometheusProcess(port, tmp_path, seconds=10) as prometheus:
        with cluster.client(timeout=120.0) as client, Load(client, images, ["fp32", "int8"], users=2) as load:
            load.wait_for(20, 300)
            for _ in range(2):
                prometheus.wait_for_scrape()
        ((_, up),) = prometheus.query("up")
        asked = {series for query in promql.panel_queries() for series in promql.names(query.expr) if ":" not in series}
        found = {series for series in asked if prometheus.query(series)}
    assert up == 1
    # Some count what has not happened here.
    assert found == asked & {name for name, _ in cluster.scrape()}
    assert found >= ESSENTIAL
