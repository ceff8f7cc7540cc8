"""Blocks against a real server: what is sent, what comes back, and what happens when the server goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from support.server_process import ServerProcess
from support.tiny_model import classes_of, items
from twinserve_loadtest.compare.live_blocks import LiveBlocks, block_spec
from twinserve_loadtest.compare.runner import ArmUnavailableError
from twinserve_loadtest.compare.scenario_results import arm_of
from twinserve_loadtest.record.blocks import BlockPlan
from twinserve_loadtest.record.measurement import Dataset, Model
from twinserve_loadtest.record.terms import Phase, Scenario
from twinserve_loadtest.record.testset import TestSet
from twinserve_loadtest.target.cpu_clock import CpuClock
from twinserve_loadtest.target.describe import describe_target
from twinserve_loadtest.target.energy import energy_meter
from twinserve_loadtest.target.processes import cpu_clock
from twinserve_loadtest.target.servers import servers_of

PIXELS = items(300)
TEST_SET = TestSet(PIXELS, classes_of(PIXELS), Dataset("tiny", "made here", len(PIXELS), full=True))


def plan(
    traffic: Scenario, requests: int, batch: int = 1, *, phase: Phase = "main", rate: float | None = None
) -> BlockPlan:
    return BlockPlan(traffic, traffic, phase, "baseline", 0, 7, requests, batch, rate, seed=5)


def described(server: ServerProcess) -> Model:
    """What a server serves."""
    return describe_target(servers_of(server.target), None, None)[0]


@pytest.fixture(scope="module")
def live(shared_server: ServerProcess) -> Iterator[LiveBlocks]:
    metrics = f"http://127.0.0.1:{shared_server.metrics_port}"
    clock = cpu_clock(servers_of(shared_server.target), described(shared_server), [metrics])
    with LiveBlocks(servers_of(shared_server.target), TEST_SET, model="tiny", cpu=clock, same_machine=True) as runner:
        yield runner


@pytest.mark.parametrize(
    ("block", "images"),
    [(plan("single-stream", 40), 40), (plan("open", 40, rate=200.0), 40), (plan("offline", 6, 32), 192)],
)
def test_every_way_of_sending_answers_every_request(live: LiveBlocks, block: BlockPlan, images: int) -> None:
    found = live.run("int8", block)
    assert (found.requests, found.images, found.errors) == (block.requests, images, 0)
    assert found.histogram.get_total_count() == block.requests
    assert found.seconds > 0
    assert found.mean_batch_size is not None
    assert found.cpu_seconds is not None
    assert found.cpu_seconds > 0
    assert (
        found.stage_seconds["client_total"]
        >= found.stage_seconds["server_total"]
        > found.stage_seconds["inference"]
        > 0
    )


def test_an_accuracy_block_answers_every_image_once_in_order(live: LiveBlocks) -> None:
    found = live.run("fp32", plan("offline", 5, 64, phase="accuracy"))
    assert found.predictions is not None
    assert found.probabilities is not None
    assert found.predictions.tolist() == TEST_SET.labels.tolist()
    assert np.allclose(found.probabilities.sum(axis=1), 1.0, atol=1e-4)
    assert found.images == len(PIXELS)


def test_the_two_blocks_of_a_pair_are_the_same_order_but_for_the_variant() -> None:
    for block in (plan("single-stream", 10), plan("open", 10, rate=50.0), plan("offline", 3, 16)):
        first, second = asdict(block_spec("fp32", block)), asdict(block_spec("int8", block))
        assert {key for key in first if first[key] != second[key]} == {"variant"}
        assert first["first_image"] == 7


def test_a_server_that_goes_away_ends_the_measurement(tiny_models: Path, tmp_path: Path) -> None:
    with (
        ServerProcess(tiny_models, tmp_path, "--gateways", "1") as server,
        LiveBlocks(servers_of(server.target), TEST_SET, model="tiny", cpu=None, same_machine=True) as runner,
    ):
        assert runner.run("fp32", plan("single-stream", 5)).errors == 0
        server.stop()
        with pytest.raises(ArmUnavailableError, match="fp32"):
            runner.run("fp32", plan("single-stream", 5))


def test_cpu_seconds_come_from_the_metrics_when_the_processes_are_elsewhere(shared_server: ServerProcess) -> None:
    metrics = f"http://127.0.0.1:{shared_server.metrics_port}"
    model = described(shared_server)
    assert (CpuClock({"fp32": [2**22 + 1]}, [metrics], model).seconds("fp32") or 0) > 0
    assert CpuClock({}, (), model).seconds("fp32") is None


def test_energy_is_read_around_every_block(shared_server: ServerProcess, tmp_path: Path) -> None:
    folder = tmp_path / "sys/class/powercap/intel-rapl:0"
    folder.mkdir(parents=True)
    for name, text in {"name": "package-0", "max_energy_range_uj": "1000000000", "energy_uj": "7"}.items():
        (folder / name).write_text(text)
    ended = threading.Event()

    def burn() -> None:
        microjoules = 7
        while not ended.wait(0.005):
            microjoules += 50_000
            (folder / "new").write_text(str(microjoules))
            (folder / "new").replace(folder / "energy_uj")

    burning = threading.Thread(target=burn)
    burning.start()
    try:
        with (
            energy_meter(here=True, root=tmp_path) as energy,
            LiveBlocks(
                servers_of(shared_server.target), TEST_SET, model="tiny", cpu=None, energy=energy, same_machine=True
            ) as runner,
        ):
            blocks = [runner.run("fp32", plan("single-stream", 40)) for _ in range(2)]
    finally:
        ended.set()
        burning.join()
    assert all(block.joules is not None and block.joules > 0 for block in blocks)
    joules = sum(block.joules or 0.0 for block in blocks)
    assert arm_of(blocks).joules_per_1000_images == pytest.approx(1000 * joules / 80)
    assert arm_of([blocks[0], replace(blocks[1], joules=None)]).joules_per_1000_images is None
