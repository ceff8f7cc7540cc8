"""The generator's watch of itself: how late its event loop sees what happens."""

from __future__ import annotations

import time

import gevent

from twinserve_loadtest.load.watch import TICK_SECONDS, GeneratorWatch


def test_a_loop_that_was_held_up_was_late_by_as_much() -> None:
    watch = GeneratorWatch()
    watch.start()
    gevent.sleep(TICK_SECONDS / 10)
    held_up_from = time.perf_counter()
    time.sleep(10 * TICK_SECONDS)  # holds up the whole loop: nothing is patched here
    held_up_us = 1e6 * (time.perf_counter() - held_up_from)
    gevent.sleep(5 * TICK_SECONDS)
    late = watch.stop().timer_lateness
    assert late.get_total_count() >= 2
    assert late.get_max_value() > 0.8 * held_up_us
