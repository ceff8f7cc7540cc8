"""Labels that arrive later: how many images a variant got right, in bounded memory."""

from __future__ import annotations

import sys
import time
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from twinserve_server.errors import InvalidInputError, RepeatedFeedbackError, UnknownRequestError, shown

if TYPE_CHECKING:
    # Jobs come with numpy, and the supervisor, which reads judgements, has none.
    from twinserve_server.engine.job import Buffer

#: How many classes fit into a byte, of which each answer has the lowest of four.
_BYTE: Final = 1 << 8
_LOWEST: Final = 0 if sys.byteorder == "little" else 3
#: The position of the number of images in an entry.
_IMAGES: Final = 5


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many images of an earlier request its variant classified correctly."""

    model: str
    version: str
    variant: str
    correct: int
    total: int


class FeedbackStore:
    """The last answers of one gateway, by request id, until their labels arrive."""

    def __init__(self, capacity: int = 16_384, max_images: int = 1 << 20, ttl_seconds: float = 3600.0) -> None:
        """
        Args:
            capacity: the most answers kept, judged ones included.
            max_images: the most images that those not yet judged have between them.
            ttl_seconds: how long an answer is kept.
        """
        self._capacity = capacity
        self._max_images = max_images
        self._ttl_ns = int(ttl_seconds * 1e9)
        #: id -> (when, model, version, variant, classes, images, packed answer); the last two are dropped once judged.
        self._answers: OrderedDict[str, tuple[int, str, str, str, int, int, bytes | None]] = OrderedDict()
        self._images = 0

    def __len__(self) -> int:
        return len(self._answers)

    @property
    def images(self) -> int:
        """Images whose labels may still arrive."""
        return self._images

    def remember(self, request_id: str, model: str, version: str, variant: str, classes: int, answer: Buffer) -> None:
        """Remember the answer to ``request_id`` (classes as native uint32); the oldest are forgotten to make room."""
        answers = self._answers
        if request_id in answers:
            # If a client gives two requests the same id, it means the later one.
            self._images -= answers.pop(request_id)[_IMAGES]
        images = len(answer) // 4
        answers[request_id] = (time.monotonic_ns(), model, version, variant, classes, images, packed(answer, classes))
        self._images += images
        while len(answers) > self._capacity or self._images > self._max_images:
            self._images -= answers.popitem(last=False)[1][_IMAGES]

    def knows(self, request_id: str) -> bool:
        """Whether this store has the answer to ``request_id``, judged or not."""
        return request_id in self._answers

    def judge(self, request_id: str, labels: Sequence[int]) -> Judgement:
        """Compare ``labels`` with the answer to ``request_id``, once.

        Raises:
            UnknownRequestError: never answered here, or forgotten.
            RepeatedFeedbackError: already judged.
            InvalidInputError: the number of labels differs from the number of images, or a label is not a class.
        """
        entry = self._answers.get(request_id)
        if entry is None:
            raise UnknownRequestError(
                f"request_id: {shown(request_id)} is unknown: never answered here, or no longer among the last "
                f"{self._capacity} answers or {self._max_images} images"
            )
        when_ns, model, version, variant, classes, images, answer = entry
        if time.monotonic_ns() - when_ns > self._ttl_ns:
            del self._answers[request_id]
            self._images -= images
            raise UnknownRequestError(
                f"request_id: {shown(request_id)} has expired: feedback is accepted for {self._ttl_ns / 1e9:g} s"
            )
        if answer is None:
            raise RepeatedFeedbackError(f"request_id: feedback for {shown(request_id)} was already counted")
        if not classes:
            raise InvalidInputError.of("labels", f"model {model} returns tensors, not classes; feedback needs classes")
        correct = count_correct(array(item_format(classes), answer), labels, classes)
        self._answers[request_id] = (when_ns, model, version, variant, classes, 0, None)
        self._images -= images
        return Judgement(model, version, variant, correct, len(labels))


def count_correct(predicted: Sequence[int], labels: Sequence[int], classes: int) -> int:
    """How many of ``labels`` match the prediction.

    Raises:
        InvalidInputError: the number of labels differs from the number of images, or a label is not a class.
    """
    if len(labels) != len(predicted):
        raise InvalidInputError.of(
            "labels", f"{len(labels)} labels for a request of {len(predicted)} images; one each is needed"
        )
    for index, label in enumerate(labels):
        if label >= classes:
            raise InvalidInputError.of(f"labels[{index}]", f"{label} is not a class (0..{classes - 1})")
    return sum(label == guess for label, guess in zip(labels, predicted, strict=True))


def item_format(classes: int) -> str:
    """The smallest array type that holds any of ``classes``."""
    return "B" if classes <= _BYTE else "H" if classes <= 1 << 16 else "I"


def packed(answer: Buffer, classes: int) -> bytes:
    """The native uint32 of ``answer`` in the smallest type that holds them."""
    # For single images, a slice costs less than an array.
    if classes <= _BYTE:
        return bytes(answer)[_LOWEST::4]
    return array(item_format(classes), memoryview(answer).cast("B").cast("I")).tobytes()
