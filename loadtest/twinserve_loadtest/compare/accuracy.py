"""Accuracy of both arms, paired by image, from answers of the served models."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from twinserve_loadtest.compare.scenario_results import arm_of
from twinserve_loadtest.record.comparison import Disagreement, PairedAccuracy
from twinserve_loadtest.record.confusion import confusions
from twinserve_loadtest.record.measurement import NOT_ANSWERED
from twinserve_loadtest.record.run import Answers, Arm, Run
from twinserve_loadtest.record.wire import encode_classes
from twinserve_loadtest.statistics.paired import (
    PairedCounts,
    mcnemar_exact,
    non_inferiority_p,
    paired_counts,
    tango_interval,
    wilson_interval,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from twinserve_loadtest.record.blocks import Block

#: Disagreements kept; the total is counted.
GALLERY_SIZE = 100


@dataclass(frozen=True, slots=True)
class TestImages:
    """The test set: what was sent, and what is right."""

    __test__ = False  # not a pytest class

    #: N x item shape, as sent.
    images: NDArray[Any]
    #: N true classes.
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]


def compare_accuracy(
    test: TestImages, baseline: tuple[str, Block], candidate: tuple[str, Block], margin: float, confidence: float = 0.95
) -> PairedAccuracy | None:
    """Everything about right and wrong answers.

    Args:
        test: the test set, in the order in which it was sent.
        baseline: name in the record and accuracy block of variant A.
        candidate: the same of variant B.
        margin: tolerated loss as a fraction, above 0.
        confidence: of all intervals.

    Returns:
        None if no image was answered by both.
    """
    answers = {name: _answers(block, len(test.labels)) for name, block in (baseline, candidate)}
    first, second = answers.values()
    both = (first != NOT_ANSWERED) & (second != NOT_ANSWERED)
    if not both.any():
        return None
    counts = paired_counts(test.labels[both], first[both], second[both])
    p_value = non_inferiority_p(counts, margin)
    differing = np.flatnonzero(both & (first != second))
    return PairedAccuracy(
        images=counts.images,
        labels=encode_classes(test.labels),
        both_correct=counts.both,
        only_baseline_correct=counts.only_baseline,
        only_candidate_correct=counts.only_candidate,
        both_wrong=counts.neither,
        difference=tango_interval(counts, confidence),
        mcnemar_p=mcnemar_exact(counts),
        margin=margin,
        non_inferiority_p=p_value,
        non_inferior=p_value < (1 - confidence) / 2,
        disagreement_count=len(differing),
        disagreements=_gallery(test, [first, second], differing, baseline[1], candidate[1]),
        unanswered={name: int((found == NOT_ANSWERED).sum()) for name, found in answers.items()},
    )


def accuracy_run(test: TestImages, blocks: Mapping[str, Block], confidence: float = 0.95) -> Run:
    """The accuracy blocks as a run; shares of right answers are of the images that every arm answered."""
    answers = {name: _answers(block, len(test.labels)) for name, block in blocks.items()}
    everywhere = np.all([found != NOT_ANSWERED for found in answers.values()], axis=0)
    arms = {name: _arm(test, blocks[name], found, everywhere, confidence) for name, found in answers.items()}
    batch = next(iter(blocks.values())).plan.images_per_request
    return Run("accuracy", arms, images_per_request=batch)


def counts_of(accuracy: PairedAccuracy) -> PairedCounts:
    """The paired table behind the test of accuracy."""
    return PairedCounts(
        accuracy.both_correct,
        accuracy.only_baseline_correct,
        accuracy.only_candidate_correct,
        accuracy.both_wrong,
    )


def _arm(
    test: TestImages, block: Block, found: NDArray[np.int64], everywhere: NDArray[np.bool_], confidence: float
) -> Arm:
    labels, given = test.labels[everywhere], found[everywhere]
    answers = None
    if len(given):
        pairs = Counter(zip(labels.tolist(), given.tolist(), strict=True))
        matrix, confused = confusions(pairs, len(test.class_names))
        correct = int((labels == given).sum())
        answers = Answers(
            correct=correct,
            images=len(given),
            coverage=float((found != NOT_ANSWERED).mean()),
            share=wilson_interval(correct, len(given), confidence),
            confusion=matrix,
            predictions=encode_classes(found),
            confused=confused,
        )
    return replace(arm_of([block]), answers=answers)


def _answers(block: Block, count: int) -> NDArray[np.int64]:
    """One class an image; the last request may have gone round to the first images: those are cut off."""
    found = np.full(count, NOT_ANSWERED, np.int64)
    if block.predictions is not None:
        told = block.predictions[:count]
        found[: len(told)] = told
    return found


def _gallery(
    test: TestImages,
    answers: list[NDArray[np.int64]],
    differing: NDArray[np.intp],
    baseline: Block,
    candidate: Block,
) -> list[Disagreement]:
    """Those that one arm gets right first, then those that both get wrong, each in test-set order."""
    order = sorted(
        differing.tolist(),
        key=lambda index: (test.labels[index] not in (answers[0][index], answers[1][index]), index),
    )
    return [
        Disagreement(
            index=index,
            label=int(test.labels[index]),
            baseline_class=int(answers[0][index]),
            candidate_class=int(answers[1][index]),
            baseline_probabilities=_probabilities(baseline, index),
            candidate_probabilities=_probabilities(candidate, index),
            pixels=_pixels(test.images[index]),
        )
        for index in order[:GALLERY_SIZE]
    ]


def _probabilities(block: Block, index: int) -> list[float]:
    if block.probabilities is None or index >= len(block.probabilities):
        return []
    return [round(float(value), 4) for value in block.probabilities[index]]


def _pixels(image: NDArray[Any]) -> str:
    """UINT8, row-major, base64; FP32 images (0..1) are scaled; of other tensors there is no picture."""
    if image.dtype not in (np.uint8, np.float32):
        return ""
    values = image if image.dtype == np.uint8 else np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
