"""Confusions are a matrix, or, of many classes, the most frequent wrong answers."""

from __future__ import annotations

from twinserve_loadtest.record.confusion import MOST_CLASSES, confusions


def test_a_matrix_counts_true_by_answered() -> None:
    assert confusions({(0, 0): 1, (0, 1): 1, (1, 1): 1}, 2) == ([[1, 1], [0, 1]], [])


def test_of_many_classes_the_wrong_answers_are_listed_the_most_frequent_first() -> None:
    counts = {(5, 5): 90, (7, 999): 2, (0, 3): 11}
    assert confusions(counts, MOST_CLASSES + 1) == ([], [(0, 3, 11), (7, 999, 2)])
