"""The generator's watch of itself: how late its event loop sees what happens."""

from __future__ import annotations

import time

import gevent

from twinserve_loadtest.generate.watch import TICK_SECONDS, GeneratorWatch


def test_a_loop_that_was_held_up_was_late_by_as_much() -> None:
    watch = GeneratorWatch()
    watch.start()
    gevent.sleep(TICK_SECONDS / 10)
    held_up_until = time.perf_counter() + 10 * TICK_SECONDS
    while time.perf_counter() < held_up_until:
        pass
    gevent.sleep(5 * TICK_SECONDS)
    late = watch.stop().timer_lateness
    assert late.get_total_count() >= 2
    assert late.get_max_value() > 1e6 * 8 * TICK_SECONDS
