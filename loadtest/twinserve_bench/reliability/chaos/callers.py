"""Callers who ask through the SDK, one call after the other, and keep the ledger."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twinserve_bench.reliability.chaos.ledger import Book
from twinserve_bench.reliability.chaos.victim import READY_SECONDS, Victim
from twinserve_client import CallError, Client, Prediction

#: Of one call: far longer than any replacement takes.
TIMEOUT_SECONDS: Final = 60.0
#: How many images are used, and the most in one call.
POOL, MOST_IMAGES = 32, 4
#: A batch of another size rounds in another way.
TOLERANCE: Final = 1e-3

Answers = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Questions:
    """Images of a model's test set, and what each variant answers when nothing is wrong."""

    images: npt.NDArray[Any]
    expected: dict[str, Answers]

    @classmethod
    def of(cls, models: Path, client: Client) -> Questions:
        """Ask ``client`` for the answers.

        Raises:
            FileNotFoundError: the model has no test set.
        """
        info = client.describe_model()
        with np.load(models / info.model / "testset.npz", allow_pickle=False) as archive:
            images = archive["images"][:POOL].reshape(-1, *info.item_shape)
        expected = {}
        for variant in info.variants:
            answer = client.predict(images, variant=variant.name)
            expected[variant.name] = answer.classes, answer.probabilities
        return cls(images, expected)

    def right(self, answer: Prediction, chosen: list[int]) -> bool:
        """Whether ``answer`` is what its variant says of the ``chosen`` images."""
        classes, probabilities = (values[chosen] for values in self.expected[answer.variant])
        return bool(
            answer.probabilities.shape == probabilities.shape
            and (answer.classes == classes).all()
            and np.allclose(answer.probabilities, probabilities, atol=TOLERANCE)
        )


class Callers:
    """Threads with a client each. They can be held between two calls, and told to come with another token."""

    def __init__(
        self, victim: Victim, questions: Questions, book: Book, count: int, seed: int, retries: int | None
    ) -> None:
        """``retries``: None: as many as the SDK makes by itself."""
        self._victim, self._questions, self.book, self.count = victim, questions, book, count
        #: Of the answered calls: those before the server's last start.
        self.answered_before = 0
        self._retries = {} if retries is None else {"retries": retries}
        #: Minimum seconds from the start of a caller's call to that of its next one.
        self.pace_seconds = 0.0
        self._may_ask = threading.Event()
        self._may_ask.set()
        self._over = threading.Event()
        self._changes = [-1] * count
        self._idle = [threading.Event() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._ask, args=(number, random.Random(f"{seed} {number}")))
            for number in range(count)
        ]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._may_ask.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_SECONDS)

    def until_answered(self, more: int) -> None:
        """Wait for so many more answers."""
        wanted = self.book.ledger.answered + more
        self._victim.until(lambda: self.book.ledger.answered >= wanted, f"{more} more calls are answered")

    def hold(self) -> None:
        """Wait until nobody has a call under way; nobody begins another before :meth:`go_on`."""
        self._may_ask.clear()
        self._victim.until(lambda: all(idle.is_set() for idle in self._idle), "every call has ended")

    def new_account(self) -> None:
        """What is answered from now on is answered by a server that was started anew."""
        self.answered_before = self.book.ledger.answers

    def go_on(self) -> None:
        """Ask again."""
        self._may_ask.set()

    def until_all_have_changed(self) -> None:
        """Wait until every caller comes with the token in force."""
        wanted = self._victim.changes
        self._victim.until(lambda: min(self._changes) >= wanted, "all callers have changed their token")

    def _ask(self, number: int, dice: random.Random) -> None:
        client: Client | None = None
        try:
            while not self._over.is_set():
                self._idle[number].set()
                self._may_ask.wait()
                if client is None or self._changes[number] != self._victim.changes:
                    if client is not None:
                        client.close()
                    changes = self._victim.changes
                    client = self._victim.client(TIMEOUT_SECONDS, **self._retries)
                    self._changes[number] = changes
                self._idle[number].clear()
                if not self._may_ask.is_set():
                    continue
                next_at = time.monotonic() + self.pace_seconds
                if not self._one_call(client, dice):
                    self._idle[number].set()
                    self._until(client.wait_until_ready)
                self._idle[number].set()
                self._over.wait(max(0.0, next_at - time.monotonic()))
        finally:
            self._idle[number].set()
            if client is not None:
                client.close()

    def _one_call(self, client: Client, dice: random.Random) -> bool:
        questions = self._questions
        chosen = [dice.randrange(len(questions.images)) for _ in range(dice.randint(1, MOST_IMAGES))]
        variant = dice.choice([None, *questions.expected])
        begun = self.book.begin()
        try:
            answer = client.predict(questions.images[chosen], variant=variant)
        except CallError as error:
            self.book.failed(begun, error.code, error.message)
            return False
        self.book.answered(right=questions.right(answer, chosen))
        return True

    def _until(self, wait: Callable[[float], object]) -> None:
        """As a caller does whom a server has refused: wait until it is back."""
        while not self._over.is_set():
            with suppress(CallError):
                wait(READY_SECONDS)
                return
