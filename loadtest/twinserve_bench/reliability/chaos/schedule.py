"""What goes wrong, and when: the same seed gives the same schedule."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Fault(Enum):
    """One thing that happens to a server; the value is what the ledger calls it."""

    KILL_GATEWAY = "SIGKILL a gateway"
    KILL_MODEL = "SIGKILL a model process"
    STOP_GATEWAY = "SIGSTOP a gateway"
    STOP_MODEL = "SIGSTOP a model process"
    ROTATE_TOKENS = "rotate the tokens"
    ROTATE_CERTIFICATES = "rotate the certificate"
    CHANGE_TRAFFIC = "change the traffic policy"
    TERMINATE = "SIGTERM to the supervisor, and a new start"
    TERMINATE_GROUP = "SIGTERM to the process group, and a new start"
    KILL = "SIGKILL the supervisor, and a new start"

    @property
    def takes_the_server_down(self) -> bool:
        """Whether callers must expect that nobody answers for a while."""
        return self in {Fault.TERMINATE, Fault.TERMINATE_GROUP, Fault.KILL}


#: Faults that a replacement or a reload must hide from callers altogether.
HIDDEN: Final = tuple(fault for fault in Fault if not fault.takes_the_server_down)
#: The maximum number of answers between two faults.
MOST_ANSWERS_BETWEEN: Final = 200


@dataclass(frozen=True, slots=True)
class Step:
    """A fault, once so many more calls were answered.

    Attributes:
        fault: what happens.
        choice: picks the process, of those that the fault may meet, or the traffic policy.
        after: answers to wait for first, so that the load is there, however slow the machine.
    """

    fault: Fault
    choice: int
    after: int


def schedule(seed: int, count: int, among: Sequence[Fault] = tuple(Fault)) -> list[Step]:
    """``count`` steps; every fault of ``among`` comes up before one comes up again."""
    dice = random.Random(seed)
    drawn: list[Fault] = []
    while len(drawn) < count:
        deck = list(among)
        dice.shuffle(deck)
        drawn += deck
    return [Step(fault, dice.randrange(1 << 16), dice.randint(20, MOST_ANSWERS_BETWEEN)) for fault in drawn[:count]]
