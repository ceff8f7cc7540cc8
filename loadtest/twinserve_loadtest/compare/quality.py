"""Quality of both arms of a model without classes, paired by item, from answers that came through the service."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from twinserve_loadtest.compare.scenario_results import arm_of
from twinserve_loadtest.generate.kept import read_kept
from twinserve_loadtest.record.comparison import PairedQuality, QualityItem
from twinserve_loadtest.record.measurement import NOT_ANSWERED
from twinserve_loadtest.record.run import Interval, Quality, Run
from twinserve_loadtest.statistics.quality import MetricError, default_margin, losses, mean_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from twinserve_loadtest.compare.gates import Gate
    from twinserve_loadtest.record.blocks import Block
    from twinserve_loadtest.statistics.quality import Arrays, QualityTest

#: How many items with the largest differences are kept.
WORST = 20


def compare_quality(
    test: QualityTest,
    baseline: tuple[str, Block],
    candidate: tuple[str, Block],
    gate: Gate | None,
    confidence: float = 0.95,
) -> PairedQuality | None:
    """Everything about how far the answers lie from their targets.

    Args:
        test: the metric, and the targets; where there are none, the baseline's own answers are.
        baseline: name in the record and accuracy block of variant A.
        candidate: the same of variant B.
        gate: on quality; without one, or with one that states no number, the metric's default is the margin.
        confidence: of all intervals.

    Returns:
        None when no item was answered by both.

    Raises:
        MetricError: the metric cannot be computed; the message says why.
    """
    both = _answered(baseline[1]) & _answered(candidate[1])
    if not both.any():
        return None
    first, second = (_kept(block, both) for _, block in (baseline, candidate))
    targets: Arrays = {name: array[: len(both)][both] for name, array in test.targets.items()} or first
    before, after = losses(test.function, first, targets), losses(test.function, second, targets)
    mean = float(before.mean())
    margin, words = default_margin(test.metric, targets, mean)
    if gate is not None and not math.isnan(gate.threshold):
        margin, words = gate.threshold, ""
        if gate.relative:
            margin, words = margin * mean, f"{100 * gate.threshold:g} % of the baseline's loss"
    worst = np.argsort(-np.abs(after - before), kind="stable")[:WORST]
    places = np.flatnonzero(both)
    return PairedQuality(
        metric=test.metric,
        against="" if test.targets else baseline[0],
        items=int(both.sum()),
        baseline=_finite(mean_interval(before, confidence)),
        candidate=_finite(mean_interval(after, confidence)),
        difference=_finite(mean_interval(after - before, confidence)),
        margin=margin,
        margin_words=words,
        worst=[
            QualityItem(int(places[index]), float(before[index]), float(after[index]))
            for index in worst
            if before[index] != after[index]
        ],
        unanswered={name: int((~_answered(block)).sum()) for name, block in (baseline, candidate)},
    )


def quality_run(found: PairedQuality | None, blocks: Mapping[str, Block]) -> Run:
    """The blocks that sent every item once, as a run; losses are of the items that every arm answered."""
    means = (found.baseline, found.candidate) if found is not None else (None, None)
    arms = {}
    for (name, block), mean in zip(blocks.items(), means, strict=True):
        quality = None
        if found is not None and mean is not None:
            coverage = float(_answered(block).mean())
            quality = Quality(found.metric, found.items, coverage, mean, found.against)
        arms[name] = replace(arm_of([block]), quality=quality)
    return Run("accuracy", arms, images_per_request=next(iter(blocks.values())).plan.images_per_request)


def _answered(block: Block) -> NDArray[np.bool_]:
    assert block.predictions is not None
    return np.asarray(block.predictions != NOT_ANSWERED)


def _kept(block: Block, both: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    found = read_kept(block.outputs) if block.outputs is not None else {}
    if not found:
        raise MetricError(f"the answers of {block.arm} differ in shape from item to item; they are not compared")
    # Read in place, unless some are left out.
    return {name: array if both.all() else array[both] for name, array in found.items()}


def _finite(interval: Interval) -> Interval:
    """JSON has no infinity: of a single item the interval is the value itself, and says so by confidence 0."""
    if math.isfinite(interval.low):
        return interval
    return Interval(interval.estimate, interval.estimate, interval.estimate, 0.0)
