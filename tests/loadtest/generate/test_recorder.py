"""Tallies hold sums and counts, so that merging them is exact."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from twinserve_client import Prediction
from twinserve_client.types import Timing
from twinserve_loadtest.generate.recorder import Tally
from twinserve_loadtest.record.measurement import NOT_ANSWERED
from twinserve_loadtest.record.wire import from_plain, to_plain

IMAGES = 50
CLASSES = 4


def prediction(classes: list[int], *, batch_size: int = 8) -> Prediction:
    """An answer as the SDK gives it."""
    probabilities = np.eye(CLASSES, dtype=np.float32)[classes]
    timing = Timing(0.001, 0.0001, 0.0002, 0.002, 0.0003, 0.004, batch_size)
    return Prediction(np.array(classes), probabilities, "m", "1", "int8", "ab", timing, "id", "named")


def fill(tally: Tally, requests: range) -> Tally:
    """Some answers and failures, each request with its own figures."""
    random = np.random.default_rng(0)
    latencies = random.gamma(3, 400, 10_000).astype(int) + 1
    for number in requests:
        indices = np.array([number % IMAGES, (number + 1) % IMAGES])
        labels = (indices % CLASSES).tolist()
        if number % 17 == 0:
            tally.failed("UNAVAILABLE")
            continue
        classes = labels if number % 5 else [(label + 1) % CLASSES for label in labels]
        answer = prediction(classes, batch_size=1 + number % 3)
        tally.answered(indices, labels, answer, latency_us=int(latencies[number]))
    return tally


def figures(tally: Tally) -> dict[str, Any]:
    """Everything that must be equal, floating-point sums rounded."""
    values: dict[str, Any] = to_plain(tally)
    values["stage_seconds"] = {stage: round(total, 9) for stage, total in values["stage_seconds"].items()}
    values["confusion"] = sorted(values["confusion"])
    return values


def test_a_merge_of_parts_equals_the_whole_exactly() -> None:
    whole = fill(Tally(IMAGES, keep_probabilities=True), range(1000))
    merged = Tally(IMAGES, keep_probabilities=True)
    for begin in range(0, 1000, 137):
        part = range(begin, min(begin + 137, 1000))
        merged.merge(fill(Tally(IMAGES, keep_probabilities=True), part))
    assert figures(merged) == figures(whole)


def test_a_tally_survives_its_way_through_json() -> None:
    tally = fill(Tally(IMAGES, keep_probabilities=True), range(300))
    back = from_plain(Tally, json.loads(json.dumps(to_plain(tally))))
    assert to_plain(back) == to_plain(tally)
    assert back.probabilities is not None
    assert tally.probabilities is not None
    np.testing.assert_array_equal(back.probabilities, tally.probabilities)


def test_correctness_is_counted_against_the_labels() -> None:
    tally = Tally(IMAGES)
    tally.answered(np.array([0, 1, 2]), [0, 1, 2], prediction([0, 1, 3]), 100)
    assert (tally.correct, tally.images) == (2, 3)
    assert tally.confusion[(2, 3)] == 1


def test_coverage_counts_each_image_of_the_set_once() -> None:
    tally = Tally(IMAGES)
    for _ in range(3):
        tally.answered(np.array([7, 8]), [3, 0], prediction([3, 0]), 100)
    assert tally.coverage == 2 / IMAGES
    assert tally.predictions[7] == 3
    assert tally.predictions[9] == NOT_ANSWERED


def test_failures_are_counted_by_status_and_have_no_latency() -> None:
    tally = Tally(IMAGES)
    tally.failed("UNAVAILABLE")
    tally.failed("DEADLINE_EXCEEDED")
    tally.failed("UNAVAILABLE")
    assert tally.requests == 3
    assert tally.failures == {"DEADLINE_EXCEEDED": 1, "UNAVAILABLE": 2}
    assert tally.histogram.get_total_count() == 0
    assert tally.latency_max_us is None


def test_the_smallest_and_largest_latency_are_kept_exactly() -> None:
    tally = Tally(IMAGES)
    for latency in (1_234_567, 311, 87_654_321):
        tally.answered(np.array([0]), [0], prediction([0]), latency)
    assert (tally.latency_min_us, tally.latency_max_us) == (311, 87_654_321)
