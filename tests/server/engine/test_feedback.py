"""Labels that arrive later: judged once, in bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from twinserve_server.engine.feedback import FeedbackStore, Judgement
from twinserve_server.errors import InvalidInputError, RepeatedFeedbackError, UnknownRequestError


def remember(store: FeedbackStore, request_id: str, *classes: int) -> None:
    store.remember(request_id, "mnist", "1", "int8", 10, np.array(classes, np.uint32).tobytes())


def test_counts_what_the_variant_had_right() -> None:
    store = FeedbackStore()
    remember(store, "a", 1, 2, 3)
    assert store.judge("a", [1, 2, 9]) == Judgement("mnist", "1", "int8", correct=2, total=3)


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


def test_the_oldest_answers_are_forgotten_when_the_images_are_too_many() -> None:
    store = FeedbackStore(max_images=10)
    for name in "abc":
        remember(store, name, 1, 2, 3, 4)
    assert [store.knows(name) for name in "abc"] == [False, True, True]
    with pytest.raises(UnknownRequestError, match=r"'a' is unknown: .* the last 16384 answers or 10 images"):
        store.judge("a", [1, 2, 3, 4])
    assert store.judge("c", [1, 2, 3, 4]).correct == 4


def test_an_answer_larger_than_the_store_is_not_kept() -> None:
    store = FeedbackStore(max_images=3)
    remember(store, "a", 1, 2, 3, 4)
    assert (len(store), store.images) == (0, 0)


def test_what_was_judged_expired_or_named_anew_makes_room() -> None:
    store = FeedbackStore(max_images=10)
    remember(store, "a", *range(8))
    remember(store, "a", *range(6))
    assert store.images == 6
    store.judge("a", list(range(6)))
    assert store.images == 0
    late = FeedbackStore(ttl_seconds=0.0)
    remember(late, "a", 1)
    with pytest.raises(UnknownRequestError):
        late.judge("a", [1])
    assert late.images == 0


@pytest.mark.parametrize("classes", [2, 256, 257, 65_536, 65_537])
def test_every_class_survives_however_many_there_are(classes: int) -> None:
    store = FeedbackStore()
    answer = np.array([0, classes // 2, classes - 1], np.uint32)
    store.remember("a", "mnist", "1", "int8", classes, answer.tobytes())
    assert store.judge("a", answer.tolist()).correct == 3


def test_a_full_store_takes_little_memory() -> None:
    """A gateway's: 16,384 answers of 1,024 images each would be 64 MiB."""
    store, answer = FeedbackStore(), np.full(1024, 7, np.uint32).tobytes()
    tracemalloc.start()
    for number in range(16_384):
        store.remember(f"{number:x}", "mnist", "1", "int8", 10, answer)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert store.images == 1 << 20
    assert held < 4 << 20


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
