"""Labels that arrive later: judged once, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from twinserve_server.core.errors import InvalidInputError, RepeatedFeedbackError, UnknownRequestError
from twinserve_server.core.feedback import FeedbackStore, Judgement


def remember(store: FeedbackStore, request_id: str, *classes: int) -> None:
    store.remember(request_id, "mnist", "int8", 10, np.array(classes, np.uint32).tobytes())


def test_counts_what_the_variant_had_right() -> None:
    store = FeedbackStore()
    remember(store, "a", 1, 2, 3)
    assert store.judge("a", [1, 2, 9]) == Judgement("mnist", "int8", correct=2, total=3)


def test_a_second_label_for_the_same_request_is_refused() -> None:
    store = FeedbackStore()
    remember(store, "a", 1)
    store.judge("a", [1])
    with pytest.raises(RepeatedFeedbackError, match="'a' was already counted"):
        store.judge("a", [1])


def test_an_unknown_request_is_refused() -> None:
    with pytest.raises(UnknownRequestError, match="'b' is unknown"):
        FeedbackStore().judge("b", [1])


def test_the_oldest_answers_are_forgotten_first() -> None:
    store = FeedbackStore(capacity=2)
    for name in "abc":
        remember(store, name, 1)
    assert len(store) == 2
    assert not store.knows("a")
    assert store.judge("c", [1]).correct == 1


def test_an_expired_answer_says_so() -> None:
    store = FeedbackStore(ttl_seconds=0.0)
    remember(store, "a", 1)
    with pytest.raises(UnknownRequestError, match="has expired"):
        store.judge("a", [1])


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1], "1 labels for a request of 2 images"), ([1, 10], r"labels\[1\]: 10 is not a class \(0..9\)")],
)
def test_wrong_labels_are_refused_and_may_be_corrected(labels: list[int], message: str) -> None:
    store = FeedbackStore()
    remember(store, "a", 1, 2)
    with pytest.raises(InvalidInputError, match=message):
        store.judge("a", labels)
    assert store.judge("a", [1, 2]).correct == 2
