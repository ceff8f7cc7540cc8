"""Answers of imagined variants to an imagined test set: mostly right, and mostly wrong on the same images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

CLASSES = 10
#: A digit and what it is easily taken for.
LOOKALIKES = {0: 6, 1: 7, 2: 7, 3: 5, 4: 9, 5: 3, 6: 0, 7: 2, 8: 3, 9: 4}

IntArray = npt.NDArray[np.int64]


def make_labels(images: int) -> IntArray:
    """True classes of an imagined test set."""
    return np.random.default_rng(11).integers(0, CLASSES, images)


def make_answers(labels: IntArray, variants: tuple[str, ...]) -> dict[str, IntArray]:
    """Each variant errs on about 1 % of the images; on nearly all of those together with the others."""
    rng = np.random.default_rng(12)
    images = len(labels)
    hard = rng.choice(images, max(images // 100, 1), replace=False)
    taken_for = np.array([LOOKALIKES[int(label)] for label in labels])
    answers: dict[str, IntArray] = {}
    for number, variant in enumerate(variants):
        given = labels.copy()
        given[hard] = taken_for[hard]
        if number:
            apart = np.random.default_rng(20 + number)
            mended = apart.choice(hard, min(4 + 2 * number, len(hard)), replace=False)
            given[mended] = labels[mended]
            slipped = apart.choice(images, min(5 + number, images), replace=False)
            given[slipped] = taken_for[slipped]
        answers[variant] = given
    return answers


def confusion(labels: IntArray, answers: npt.NDArray[np.integer[Any]]) -> list[list[int]]:
    """counts[true][answered]."""
    table = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(table, (labels, answers), 1)
    rows: list[list[int]] = table.tolist()
    return rows
