"""The load generator against a real server: what it counts is what happened."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from support.server_process import ServerProcess, wait_until
from support.tiny_model import CLASSES, classes_of
from twinserve_loadtest.generate.generator import GeneratorError, LoadGenerator
from twinserve_loadtest.generate.schedule import poisson_arrivals, shuffled
from twinserve_loadtest.generate.spec import BlockSpec
from twinserve_loadtest.loadtest.summarise import summarise
from twinserve_loadtest.record.measurement import NOT_ANSWERED
from twinserve_loadtest.record.testset import TestSet, load_test_set
from twinserve_loadtest.target.servers import servers_of


@pytest.fixture(scope="module")
def test_set(tiny_models: Path) -> TestSet:
    """64 images whose answers are known."""
    return load_test_set(tiny_models / "tiny")


@pytest.fixture(scope="module")
def generator(shared_server: ServerProcess, test_set: TestSet) -> Iterator[LoadGenerator]:
    """One generator for all blocks: that it can run many is part of what is tested."""
    with LoadGenerator(servers_of(shared_server.target), test_set) as generator:
        yield generator


def test_accuracy_sends_each_image_once_and_counts_what_is_right(generator: LoadGenerator, test_set: TestSet) -> None:
    tally = generator.run(BlockSpec.accuracy("int8", len(test_set), batch=10)).tally()
    assert (tally.images, tally.correct, tally.coverage) == (64, 64, 1.0)
    assert tally.codes == {"OK": 7}
    assert np.array_equal(tally.predictions, classes_of(test_set.images))


def test_wrong_answers_are_counted_as_wrong(shared_server: ServerProcess, test_set: TestSet) -> None:
    swapped = np.array([1, 0, 2, 3, 4])[test_set.labels]  # what the server calls 0 is said to be 1, and the reverse
    mislabelled = TestSet(test_set.images, swapped, test_set.info)
    with LoadGenerator(servers_of(shared_server.target), mislabelled) as generator:
        result = summarise(generator.run(BlockSpec.accuracy("int8", 64)), "int8", CLASSES)
    truth = test_set.labels
    assert result.answers is not None
    assert result.answers.correct == int((truth > 1).sum())
    assert result.answers.confusion[0][1] == int((truth == 1).sum())
    assert result.answers.confusion[1][0] == int((truth == 0).sum())


def test_single_stream_has_one_request_in_flight_and_sends_what_was_asked(generator: LoadGenerator) -> None:
    record = generator.run(BlockSpec.single_stream("fp32", requests=100))
    tally = record.tally()
    assert tally.requests == 100
    assert tally.latency_sum_us <= 1e6 * record.seconds
    assert tally.batch_sizes == {1: 100}


def test_images_come_in_the_seeded_order_or_from_a_given_first_one(generator: LoadGenerator) -> None:
    drawn = generator.run(BlockSpec.single_stream("fp32", requests=20, seed=3)).tally()
    given = generator.run(BlockSpec("single-stream", "fp32", 1, requests=6, first_image=61)).tally()
    assert set(np.flatnonzero(drawn.predictions != NOT_ANSWERED)) == set(shuffled(64, 3)[:20])
    assert set(np.flatnonzero(given.predictions != NOT_ANSWERED)) == {61, 62, 63, 0, 1, 2}


def test_the_open_loop_sends_every_arrival_of_its_schedule(generator: LoadGenerator) -> None:
    spec = BlockSpec.open("int8", 150, seconds=1.5, seed=9)
    record = generator.run(spec)
    arrivals = poisson_arrivals(150, 9, seconds=1.5)
    assert record.scheduled == len(arrivals)
    assert record.tally().requests + record.dropped == record.scheduled
    assert record.reading.send_lateness.get_total_count() + record.backlogged == record.scheduled


def test_the_closed_loop_ends_after_its_seconds_and_loses_nothing(
    generator: LoadGenerator, shared_server: ServerProcess
) -> None:
    before = shared_server.metric("twinserve_requests_total", variant="int8", code="OK")
    record = generator.run(BlockSpec.closed("int8", 4, seconds=1))
    after = shared_server.metric("twinserve_requests_total", variant="int8", code="OK")
    assert record.warm_ups == 40
    assert after - before == record.requests + record.warm_ups
    assert record.seconds >= 1
    assert record.tally().failures == {}


def test_offline_sends_batches(generator: LoadGenerator) -> None:
    tally = generator.run(BlockSpec.offline("fp32", seconds=0.5, batch=16)).tally()
    assert tally.images == 16 * tally.requests
    assert max(tally.batch_sizes) >= 16


def test_mixed_counts_by_the_variant_that_answered(generator: LoadGenerator, shared_server: ServerProcess) -> None:
    from twinserve_client import Client

    with Client(shared_server.target) as client:
        before = client.get_traffic()
        client.set_traffic({"fp32": 1, "int8": 1})
        try:
            record = generator.run(BlockSpec.mixed(200, seconds=1))
        finally:
            client.set_traffic(before.weights)
    assert set(record.tallies) == {"fp32", "int8"}
    assert record.requests == record.scheduled


def test_probabilities_are_kept_when_asked_for(generator: LoadGenerator, test_set: TestSet) -> None:
    spec = BlockSpec("accuracy", "fp32", 1, 32, requests=2, keep_probabilities=True)
    probabilities = generator.run(spec).tally().probabilities
    assert probabilities is not None
    assert probabilities.shape == (64, CLASSES)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert np.array_equal(probabilities.argmax(1), test_set.labels)


def test_a_refused_request_is_a_failure_by_its_status(generator: LoadGenerator) -> None:
    record = generator.run(BlockSpec("closed", "int4", 2, requests=6))
    assert record.tally().codes == {"NOT_FOUND": 6}
    assert record.tally().predictions.max() == NOT_ANSWERED


def test_a_server_that_is_gone_shows_in_the_record_and_not_as_an_exception(test_set: TestSet) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound and never listened on: nobody else can take the port
        with LoadGenerator(servers_of(f"127.0.0.1:{listener.getsockname()[1]}"), test_set) as generator:
            record = generator.run(BlockSpec("closed", "int8", 2, seconds=60, give_up=0.5))
    assert record.aborted == "no request was answered for 0.5 s (last status: UNAVAILABLE)"
    assert record.tally().codes.keys() == {"UNAVAILABLE"}
    assert record.tally().coverage == 0


def test_a_generator_that_dies_says_how(shared_server: ServerProcess, test_set: TestSet) -> None:
    with LoadGenerator(servers_of(shared_server.target), test_set) as generator:
        os.kill(generator.pid, signal.SIGKILL)
        with pytest.raises(GeneratorError, match="ended with exit code -9"):
            generator.run(BlockSpec.single_stream("int8", requests=10))


def test_nothing_is_left_when_a_block_is_cut_off(shared_server: ServerProcess, test_set: TestSet) -> None:
    class Interruption(Exception):  # noqa: N818  # stands for KeyboardInterrupt
        pass

    def interrupt(_: int, __: float) -> None:
        raise Interruption

    with LoadGenerator(servers_of(shared_server.target), test_set) as generator:
        worker = psutil.Process(generator.pid)
        with pytest.raises(Interruption):
            generator.run(BlockSpec.closed("int8", 4, seconds=60), interrupt)
    wait_until(lambda: not worker.is_running(), 10)


def test_a_generator_is_used_in_a_with_block(test_set: TestSet) -> None:
    with pytest.raises(GeneratorError, match="not running"):
        LoadGenerator(servers_of("127.0.0.1:1"), test_set).run(BlockSpec.single_stream("int8", requests=1))


def test_files_of_the_working_directory_are_not_imported(
    shared_server: ServerProcess, test_set: TestSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random.py", "locust.py", "gevent.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the working directory')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    with LoadGenerator(servers_of(shared_server.target), test_set) as generator:
        assert generator.pid
