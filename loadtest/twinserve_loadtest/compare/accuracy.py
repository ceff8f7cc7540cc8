"""Accuracy of both arms, paired by image, from the answers that came through the served path."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twinserve_loadtest.record.comparison import encode_classes
from twinserve_loadtest.record.findings import AccuracyResult, Disagreement
from twinserve_loadtest.record.load_results import NOT_ANSWERED
from twinserve_loadtest.statistics.paired import (
    PairedCounts,
    confusion_matrix,
    mcnemar_exact,
    non_inferiority_p,
    paired_counts,
    tango_interval,
    wilson_interval,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twinserve_loadtest.compare.block_runner import BlockResult

#: Disagreements that are shown; the count tells how many there are.
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
    test: TestImages,
    baseline: tuple[str, BlockResult],
    candidate: tuple[str, BlockResult],
    margin: float,
    confidence: float = 0.95,
) -> AccuracyResult | None:
    """Everything about right and wrong answers.

    Args:
        test: the test set, in the order in which it was sent.
        baseline: name in the results and accuracy block of variant A.
        candidate: the same of variant B.
        margin: tolerated loss as a share, above 0.
        confidence: of all intervals.

    Returns:
        None when no image was answered by both.
    """
    count = len(test.labels)
    answers = [_answers(block, count) for _, block in (baseline, candidate)]
    answered = [found != NOT_ANSWERED for found in answers]
    both = answered[0] & answered[1]
    if not both.any():
        return None
    labels = test.labels[both]
    first, second = answers[0][both], answers[1][both]
    counts = paired_counts(labels, first, second)
    names = (baseline[0], candidate[0])
    classes = max(len(test.class_names), int(max(labels.max(), first.max(), second.max())) + 1)
    p_value = non_inferiority_p(counts, margin)
    differing = np.flatnonzero(both & (answers[0] != answers[1]))
    return AccuracyResult(
        images=counts.images,
        class_names=list(test.class_names),
        item_shape=list(test.images.shape[1:]),
        labels=encode_classes(test.labels),
        predictions={name: encode_classes(found) for name, found in zip(names, answers, strict=True)},
        accuracy={
            names[0]: wilson_interval(counts.both + counts.only_baseline, counts.images, confidence),
            names[1]: wilson_interval(counts.both + counts.only_candidate, counts.images, confidence),
        },
        both_correct=counts.both,
        only_baseline_correct=counts.only_baseline,
        only_candidate_correct=counts.only_candidate,
        both_wrong=counts.neither,
        difference=tango_interval(counts, confidence),
        mcnemar_p=mcnemar_exact(counts),
        margin=margin,
        non_inferiority_p=p_value,
        non_inferior=p_value < (1 - confidence) / 2,
        confusion={
            names[0]: confusion_matrix(labels, first, classes),
            names[1]: confusion_matrix(labels, second, classes),
        },
        disagreement_count=len(differing),
        disagreements=_gallery(test, answers, differing, baseline[1], candidate[1]),
        test_set_seconds={names[0]: baseline[1].seconds, names[1]: candidate[1].seconds},
        unanswered={name: int((~found).sum()) for name, found in zip(names, answered, strict=True)},
    )


def counts_of(accuracy: AccuracyResult) -> PairedCounts:
    """The paired table behind an accuracy section."""
    return PairedCounts(
        accuracy.both_correct,
        accuracy.only_baseline_correct,
        accuracy.only_candidate_correct,
        accuracy.both_wrong,
    )


def _answers(block: BlockResult, count: int) -> NDArray[np.int64]:
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
    baseline: BlockResult,
    candidate: BlockResult,
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


def _probabilities(block: BlockResult, index: int) -> list[float]:
    if block.probabilities is None or index >= len(block.probabilities):
        return []
    return [round(float(value), 4) for value in block.probabilities[index]]


def _pixels(image: NDArray[Any]) -> str:
    """UINT8, row-major, base64; FP32 images (0..1) are scaled."""
    values = image if image.dtype == np.uint8 else np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
