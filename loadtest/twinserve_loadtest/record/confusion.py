"""Confusions between classes: a matrix, or a list if there are many classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A matrix grows with the square of the classes: for 1,000, every file would contain a million numbers.
MOST_CLASSES = 128
#: How many of the most frequent wrong answers are kept for more classes.
MOST_CONFUSED = 1000


def confusions(
    counts: Mapping[tuple[int, int], int], classes: int
) -> tuple[list[list[int]], list[tuple[int, int, int]]]:
    """Images by true and answered class: as a matrix (row: true class), and empty; of many classes the other way round,
    the wrong answers as (true class, answered class, images), the most frequent first."""
    side = max(classes, 1 + max((max(pair) for pair in counts), default=0))
    if side > MOST_CLASSES:
        wrong = [(label, answered, count) for (label, answered), count in counts.items() if label != answered]
        return [], sorted(wrong, key=lambda entry: (-entry[2], entry[:2]))[:MOST_CONFUSED]
    matrix = [[0] * side for _ in range(side)]
    for (label, answered), count in counts.items():
        matrix[label][answered] = count
    return matrix, []
