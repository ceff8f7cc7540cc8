"""`twinserve top` shows what the server exposes, live and once, and waits for a server that went away."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from observability.traffic import mixed_traffic
from support.server_process import ServerProcess, request, wait_until
from support.tiny_model import items
from twinserve_loadtest.target.metrics import MetricsError, MetricsPage
from twinserve_loadtest.top.change import Reading
from twinserve_loadtest.top.screen import Watch
from twinserve_loadtest.top.variants import figures, quantile, shares, take

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from observability.conftest import Observed

TOP = [sys.executable, "-c", "from twinserve_loadtest.commands.top import app; app()"]
NOTHING = Reading(MetricsPage([]), 0.0)


def address(server: ServerProcess) -> str:
    return f"http://127.0.0.1:{server.metrics_port}"


@pytest.mark.prometheus
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_quantiles_are_those_of_prometheus(observed: Observed, share: float) -> None:
    (model,) = figures((NOTHING, take(address(observed.server)))).models
    for variant in model.variants:
        buckets = f'sum by (le) (twinserve_request_duration_seconds_bucket{{route!="shadow",variant="{variant.name}"}})'
        there = observed.prometheus.value(f"histogram_quantile({share}, {buckets})")
        samples = observed.prometheus.query(buckets)
        assert quantile(share, {float(labels["le"]): count for labels, count in samples}) == pytest.approx(there)
        if share == 0.5:
            assert variant.p50 == pytest.approx(there)


def test_figures_are_those_of_the_server(served: ServerProcess) -> None:
    before = take(address(served))
    begun = served.metric("twinserve_feedback_images_total")
    with mixed_traffic(served):
        wait_until(lambda: served.metric("twinserve_feedback_images_total") > begun + 50, 30)
    after = take(address(served))
    found = figures((before, after))
    (model,) = found.models
    assert [variant.name for variant in model.variants] == ["fp32", "int8"]
    assert model.baseline is model.variants[0]
    assert found.gateways == 2
    for variant in model.variants:
        named = {"variant": variant.name, "code": "OK"}
        grown = sum(
            (after.page.sum("twinserve_requests_total", route=route, **named) or 0)
            - (before.page.sum("twinserve_requests_total", route=route, **named) or 0)
            for route in ("named", "split")
        )
        assert grown > 0
        assert variant.rate * found.seconds == pytest.approx(grown)
        assert variant.ready
        assert variant.p50 is not None
        assert variant.p99 is not None
        assert 0 < variant.p50 <= variant.p99
        # The tiny pair answers as its labels were made.
        assert variant.accuracy == 1.0
        assert variant.weight == 0.5


def test_a_new_server_behind_the_same_address_does_not_count_backwards() -> None:
    from prometheus_client.samples import Sample

    info = Sample("twinserve_model_info", {"model": "m", "version": "1", "variant": "v", "quantization": "none"}, 1.0)
    which = {"model": "m", "version": "1", "variant": "v", "route": "split", "code": "OK"}
    old = Reading(MetricsPage([info, Sample("twinserve_requests_total", which, 1000.0)]), 0.0)
    new = Reading(MetricsPage([info, Sample("twinserve_requests_total", which, 10.0)]), 2.0)
    assert figures((old, new)).models[0].variants[0].rate == 5.0


def test_a_quantile_of_nothing_is_unknown_and_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile(0.5, {}) is None
    assert quantile(0.5, {1.0: 0.0, float("inf"): 0.0}) is None
    assert quantile(0.99, {1.0: 1.0, 2.0: 1.0, float("inf"): 10.0}) == 2.0


def test_once_prints_the_variants_side_by_side(served: ServerProcess) -> None:
    with mixed_traffic(served):
        command = [*TOP, address(served), "--once", "--interval", "0.5"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "110"})
    assert "fp32 (baseline)" in done.stdout
    assert "int8" in done.stdout
    assert "not ready" not in done.stdout
    assert "\u00d7" in next(line for line in done.stdout.splitlines() if "p50" in line)


@pytest.fixture
def second(tiny_models: Path, serve: Callable[..., ServerProcess]) -> ServerProcess:
    """Another server of the same pair."""
    return serve(tiny_models, "--gateways", "1")


def test_several_servers_are_shown_together_and_each(served: ServerProcess, second: ServerProcess) -> None:
    begun = take(address(served)), take(address(second))
    for server, requests in ((served, 6), (second, 3)):
        for _ in range(requests):
            server.predict.Predict(request(items(1), variant="int8"), timeout=30)
    spans = {
        address(server): (before, take(address(server))) for server, before in zip((served, second), begun, strict=True)
    }
    found = figures(*spans.values())
    (int8,) = (variant for variant in found.models[0].variants if variant.name == "int8")
    assert int8.rate * found.seconds == pytest.approx(9)
    assert int8.ready
    assert int8.weight == 0.25  # half on one, nothing on the other
    assert found.gateways == 3
    urls = [*spans, "http://127.0.0.1:1"]
    each = shares(urls, spans)
    counts = [share.rates["int8"] * (spans[share.url][1].at - spans[share.url][0].at) for share in each[:2]]
    assert counts == pytest.approx([6, 3])
    assert not each[2].answering
    done = subprocess.run(
        [*TOP, ",".join(spans), "--once", "--interval", "0.1"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "110"},
    )
    assert "2 servers" in done.stdout
    assert all(url in done.stdout for url in spans)


def test_one_of_several_that_goes_away_is_left_out_and_named(served: ServerProcess, second: ServerProcess) -> None:
    watched = Watch([address(served), address(second)])
    second.stop()
    found = watched.figures(waiting=True)
    assert [(share.url, share.answering) for share in found.servers] == [
        (address(served), True),
        (address(second), False),
    ]
    assert found.gateways == 2
    with pytest.raises(MetricsError, match=address(second)):
        watched.figures()


def test_an_address_where_nobody_answers_is_named() -> None:
    done = subprocess.run([*TOP, "http://127.0.0.1:1", "--once"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "http://127.0.0.1:1/metrics" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_live_view_comes_and_goes_with_ctrl_c(served: ServerProcess) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "110", "LINES": "40", "TERM": "xterm-256color"}
    command = [*TOP, address(served), "--interval", "0.2"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    while b"(baseline)" not in seen:
        seen += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    os.close(ours)
