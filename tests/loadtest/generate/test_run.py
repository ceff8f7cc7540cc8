"""A block hands out its requests; in an open loop their latency counts from the intended send."""

from __future__ import annotations

import numpy as np
import pytest

from twinserve_loadtest.generate.run import BlockRun
from twinserve_loadtest.generate.schedule import Share, poisson_arrivals
from twinserve_loadtest.generate.spec import BlockSpec
from twinserve_loadtest.record.measurement import Dataset
from twinserve_loadtest.record.testset import TestSet

TEST_SET = TestSet(np.zeros((8, 2, 2), np.uint8), np.zeros(8, np.int64), Dataset("toy", "a test", 8, full=True))


@pytest.mark.parametrize("waited", [True, False])
def test_latency_in_the_open_loop_counts_from_the_intended_send(waited: bool) -> None:
    run = BlockRun(BlockSpec.open("int8", 150, seconds=1.5, seed=9), TEST_SET, Share(), users=1)
    run.begin()
    requests = [run.next_request() for _ in range(3)]
    since = [run.sending(request, waited=waited) for request in requests if request is not None]
    run.end()
    assert since == poisson_arrivals(150, 9, seconds=1.5)[:3].tolist()
    assert run.record.backlogged == (0 if waited else 3)


def test_latency_elsewhere_counts_from_the_send_itself() -> None:
    run = BlockRun(BlockSpec.closed("int8", 2, seconds=60), TEST_SET, Share(), users=1)
    run.begin()
    request = run.next_request()
    assert request is not None
    before = run.elapsed()
    assert before <= run.sending(request, waited=False) <= run.elapsed()
    run.end()
