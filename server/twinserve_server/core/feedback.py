"""Labels that arrive later: which variant was right, in bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from twinserve_server.core.errors import InvalidInputError, RepeatedFeedbackError, UnknownRequestError, shown
from twinserve_server.core.job import Buffer


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many images of an earlier request its variant had right."""

    model: str
    variant: str
    correct: int
    total: int


class FeedbackStore:
    """The last answers of one gateway, by request id, until their labels come."""

    def __init__(self, capacity: int = 16_384, ttl_seconds: float = 3600.0) -> None:
        self._capacity = capacity
        self._ttl_ns = int(ttl_seconds * 1e9)
        #: id -> (when, model, variant, number of classes, answer as uint32 bytes); the answer is dropped once judged.
        self._answers: OrderedDict[str, tuple[int, str, str, int, bytes | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def remember(self, request_id: str, model: str, variant: str, classes: int, answer: Buffer) -> None:
        """Keep the answer of ``request_id``; the oldest is forgotten when the store is full."""
        answers = self._answers
        if request_id in answers:
            # A client that names two requests alike means the later one.
            del answers[request_id]
        answers[request_id] = (time.monotonic_ns(), model, variant, classes, bytes(answer))
        if len(answers) > self._capacity:
            answers.popitem(last=False)

    def knows(self, request_id: str) -> bool:
        """Whether this store has the answer of ``request_id``, judged or not."""
        return request_id in self._answers

    def judge(self, request_id: str, labels: Sequence[int]) -> Judgement:
        """Compare ``labels`` with the answer of ``request_id``, once.

        Raises:
            UnknownRequestError: never answered here, or forgotten.
            RepeatedFeedbackError: already judged.
            InvalidInputError: the number of labels differs from the images, or a label is not a class.
        """
        entry = self._answers.get(request_id)
        if entry is None:
            raise UnknownRequestError(
                f"request_id: {shown(request_id)} is unknown: never answered here, or no longer among the last "
                f"{self._capacity} answers"
            )
        when_ns, model, variant, classes, answer = entry
        if time.monotonic_ns() - when_ns > self._ttl_ns:
            del self._answers[request_id]
            raise UnknownRequestError(
                f"request_id: {shown(request_id)} has expired: feedback is taken for {self._ttl_ns / 1e9:g} s"
            )
        if answer is None:
            raise RepeatedFeedbackError(f"request_id: feedback for {shown(request_id)} was already counted")
        predicted = memoryview(answer).cast("I")
        if len(labels) != len(predicted):
            raise InvalidInputError.of(
                "labels", f"{len(labels)} labels for a request of {len(predicted)} images; one each is needed"
            )
        for index, label in enumerate(labels):
            if label >= classes:
                raise InvalidInputError.of(f"labels[{index}]", f"{label} is not a class (0..{classes - 1})")
        self._answers[request_id] = (when_ns, model, variant, classes, None)
        correct = sum(label == guess for label, guess in zip(labels, predicted, strict=True))
        return Judgement(model, variant, correct, len(labels))
