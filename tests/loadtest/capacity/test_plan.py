"""How many servers a load needs: from known times to known answers, and every doubt said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtest.report.sample_load_test import sample_load_test
from twinserve_loadtest.capacity.measured import CapacityError, Line, Measured, Point, measured_of
from twinserve_loadtest.capacity.plan import Demand, plan
from twinserve_loadtest.capacity.server import ServerModel
from twinserve_loadtest.record.measurement import Record
from twinserve_loadtest.statistics.queueing import OverloadError

#: 500 µs a batch and 100 µs an image; a gateway spends 50 µs.
KNOWN = Measured(
    "int8",
    service=Line(500e-6, 100e-6),
    cpu=Line(400e-6, 100e-6),
    gateway_cpu=50e-6,
    alone=1e-3,
    batch_limit=64,
    points=[Point(100, 1.2e-3)],
    highest=2000,
)


def server(*, gateways: int = 1, replicas: int = 1, cores: int = 4) -> ServerModel:
    return ServerModel(KNOWN, gateways, replicas, cores)


def with_cpu() -> Record:
    """A load test that read the servers' CPU time: 150 µs an image alone, 60 µs in batches, 90 µs in the gateway."""
    record = sample_load_test()
    each = {"single-stream": 0.15, "open": 0.14, "offline": 0.06, "closed": 0.1}
    runs = {
        scenario: replace(
            run,
            arms={
                name: replace(
                    arm, cpu_seconds_per_1000_images=each.get(scenario), gateway_cpu_seconds_per_1000_images=0.09
                )
                for name, arm in run.arms.items()
            },
        )
        for scenario, run in record.runs.items()
    }
    return replace(record, runs=runs, processes={"gateway": 2, "fp32": 1, "int8": 1, "int8-dynamic": 1})


def test_a_line_goes_through_both_points_and_has_no_negative_part() -> None:
    line = Line.through((1, 600e-6), (64, 6900e-6))
    assert (line.fixed, line.each) == pytest.approx((500e-6, 100e-6))
    assert Line.through((1, 100e-6), (64, 64e-4)) == Line(0.0, 100e-6)
    # A machine on which a batch costs more than its images one by one: no saving, but no negative cost either.
    assert Line.through((1, 100e-6), (64, 128e-4)) == Line(0.0, 100e-6)


def test_what_is_used_up_first_is_found() -> None:
    # 64 images take 6.9 ms: 9,275/s of a model process; a gateway passes 20,000/s; 4 cores carry more than both.
    assert server().breaks_first() == "model processes"
    assert server().most(float("inf")) == pytest.approx(64 / 6.9e-3, rel=0.01)
    assert server(replicas=4, cores=32).breaks_first() == "gateways"
    assert server(replicas=4, cores=32).most(float("inf")) == pytest.approx(20_000, rel=0.01)
    assert server(gateways=8, replicas=8, cores=2).breaks_first() == "cores"


def test_a_tighter_objective_takes_rate_and_no_load_is_a_request_alone() -> None:
    alone = server()
    assert alone.p99(0.01) == pytest.approx(1e-3, rel=0.01)
    rates = [alone.most(p99) for p99 in (1.2e-3, 3e-3, 10e-3)]
    assert rates == sorted(rates)
    for rate, p99 in zip(rates, (1.2e-3, 3e-3, 10e-3), strict=True):
        assert alone.p99(rate) == pytest.approx(p99, rel=0.01)
    assert alone.most(0.9e-3) == pytest.approx(0, abs=1e-9)
    with pytest.raises(OverloadError):
        alone.p99(10_000)


def test_a_load_test_is_enough_when_it_read_cpu_time() -> None:
    found = plan([with_cpu()], Demand(rate=20_000, p99=50e-3, price=0.04))
    for variant in found.variants:
        assert variant.servers is not None
        each = 20_000 / variant.servers
        assert each <= variant.planned_rate == pytest.approx(0.7 * variant.rate_per_server)
        hours = variant.servers * found.cores * 0.04 / 3600
        assert variant.cost_per_million == pytest.approx(hours * 1e6 / 20_000)
        assert all(0 < used < 1 for used in variant.used.values())
    doubts = " ".join([*found.warnings, *(text for variant in found.variants for text in variant.warnings)])
    assert "no interval" in doubts
    assert "servers from a measurement of 1" in doubts


def test_without_cpu_time_it_says_what_to_measure() -> None:
    with pytest.raises(CapacityError, match=r"CPU time was not measured; give `twinserve loadtest` the server's"):
        plan([sample_load_test()], Demand(rate=100, p99=50e-3))


def test_an_objective_below_a_request_alone_has_no_number_of_servers() -> None:
    found = plan([with_cpu()], Demand(rate=100, p99=1e-6))
    assert {variant.servers for variant in found.variants} == {None}
    for variant in found.variants:
        assert any("no number of servers keeps" in text for text in variant.warnings)


def test_servers_that_were_measured_together_count_by_one() -> None:
    alone = with_cpu()
    pair = replace(alone, servers=["a:1", "b:1"])
    (of_pair, _), (of_one, _) = measured_of([pair]), measured_of([alone])
    assert of_pair[0].highest == pytest.approx(of_one[0].highest / 2)


def test_a_variant_without_its_times_is_left_out_and_named() -> None:
    record = with_cpu()
    arms = {name: arm for name, arm in record.runs["offline"].arms.items() if name != "fp32"}
    runs = {**record.runs, "offline": replace(record.runs["offline"], arms=arms)}
    found = plan([replace(record, runs=runs)], Demand(rate=100, p99=50e-3))
    assert "fp32" not in {variant.name for variant in found.variants}
    assert found.warnings[0].startswith("left out: fp32: the single-stream and the offline scenario are needed")


def test_a_machine_that_was_busy_otherwise_is_a_doubt() -> None:
    record = with_cpu()
    alone = record.runs["single-stream"]
    arms = {name: replace(arm, cpu_seconds_per_1000_images=0.01) for name, arm in alone.arms.items()}
    runs = {**record.runs, "single-stream": replace(alone, arms=arms)}
    found = plan([replace(record, runs=runs)], Demand(rate=100, p99=50e-3))
    assert any("times its CPU time: other work held the cores" in text for text in found.variants[0].warnings)
