"""Callers through a bad wire: each asks, then tells the true classes; nobody may wait past a deadline, and no label may
count twice."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from twinserve_bench.reliability.chaos.callers import Questions
from twinserve_bench.reliability.network.wire import Way, Wire, cut_after, delayed, held, passing, trickling
from twinserve_client import AlreadyExistsError, CallError, Client, DeadlineExceededError, Prediction, UnavailableError

T = TypeVar("T")

#: Of one request: large enough that messages can be cut in the middle.
IMAGES: Final = 400
#: Limits for a call that the wire keeps from ending, and for any other; even a slow machine needs less.
SHORT_SECONDS, LONG_SECONDS = 1.0, 30.0
#: How long a busy machine may take to tell a caller that its deadline has passed.
SLACK_SECONDS: Final = 3.0

#: What may happen to requests and answers, and whether the SDK hides it; a spell is made anew each time.
SPELLS: Final[dict[str, tuple[Callable[[], tuple[Way, Way]], bool]]] = {
    "both delayed by 50 ms": (lambda: (delayed(0.05), delayed(0.05)), True),
    "requests trickle": (lambda: (trickling(1000, 0.002), passing), True),
    "answers trickle": (lambda: (passing, trickling(1000, 0.002)), True),
    "a request is cut": (lambda: (cut_after(3000), passing), True),
    "an answer is cut off": (lambda: (passing, cut_after(0)), True),
    # gRPC takes a call for answered once the headers of the answer are there, and does not try it again (gRFC A6).
    "an answer is cut in the middle": (lambda: (passing, cut_after(3000)), False),
    "requests come after the deadline": (lambda: (delayed(1.5 * SHORT_SECONDS), passing), False),
    "answers come after the deadline": (lambda: (passing, delayed(1.5 * SHORT_SECONDS)), False),
    "requests vanish": (lambda: (held, passing), False),
    "answers vanish": (lambda: (passing, held), False),
    "a black hole": (lambda: (held, held), False),
}


@dataclass(slots=True)
class Account:
    """What callers saw.

    Attributes:
        answered: predictions that were right; ``wrong``: the others.
        failed: calls of Predict that failed, by exception.
        odd: calls that failed in a way that no network accounts for.
        late_seconds: that a call took beyond its deadline, at most.
        labels: images whose labels were sent, each once, as far as callers know.
        open: answers of which nobody knows whether their labels were counted.
    """

    answered: int = 0
    wrong: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    late_seconds: float = 0.0
    labels: int = 0
    open: list[Prediction] = field(default_factory=list)

    @property
    def late(self) -> bool:
        """Whether somebody waited past the deadline."""
        return self.late_seconds > SLACK_SECONDS


class Caller:
    """One caller, and its account."""

    def __init__(self, client: Client, questions: Questions, dice: random.Random) -> None:
        self.account = Account()
        self._client, self._questions, self._dice = client, questions, dice

    def ask(self, timeout: float = LONG_SECONDS) -> None:
        """Ask once; if that was answered, tell the true classes."""
        questions = self._questions
        chosen = self._dice.choices(range(len(questions.images)), k=IMAGES)
        variant = self._dice.choice([None, *questions.expected])
        try:
            answer = self._timed(self._client.predict, questions.images[chosen], variant=variant, timeout=timeout)
        except (UnavailableError, DeadlineExceededError) as error:
            self.account.failed[type(error).__name__] += 1
            return
        except CallError as error:
            self.account.odd.append(f"Predict: {error.code.name}: {error}")
            return
        right = questions.right(answer, chosen)
        self.account.answered += right
        self.account.wrong += not right
        self._tell(answer, timeout)

    def settle(self) -> None:
        """Once the wire is good: tell again what may not have arrived. Whatever the answer, it counts once by now."""
        unknown, self.account.open = self.account.open, []
        for answer in unknown:
            self._tell(answer, LONG_SECONDS)

    def _tell(self, answer: Prediction, timeout: float) -> None:
        try:
            self._timed(self._client.send_feedback, answer.request_id, answer.classes, timeout=timeout)
        except AlreadyExistsError:
            pass
        except (UnavailableError, DeadlineExceededError):
            self.account.open.append(answer)
            return
        except CallError as error:
            self.account.odd.append(f"SendFeedback: {error.code.name}: {error}")
            return
        self.account.labels += len(answer.classes)

    def _timed(self, call: Callable[..., T], *given: object, timeout: float, **named: object) -> T:
        due = time.monotonic() + timeout
        try:
            return call(*given, timeout=timeout, **named)
        finally:
            self.account.late_seconds = max(self.account.late_seconds, time.monotonic() - due)


def endure(wire: Wire, callers: list[Caller], spell: str, seconds: float) -> None:
    """Let ``callers`` ask for ``seconds``, each once at least, under ``spell``; then the wire is good again."""
    make, hidden = SPELLS[spell]
    timeout = LONG_SECONDS if hidden else SHORT_SECONDS
    wire.ways = make()
    until = time.monotonic() + seconds

    def ask(caller: Caller) -> None:
        caller.ask(timeout)
        while time.monotonic() < until:
            caller.ask(timeout)

    threads = [threading.Thread(target=ask, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wire.ways = (passing, passing)
