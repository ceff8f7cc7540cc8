"""The load shape that makes Locust spawn as many users as the current block needs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from locust import LoadTestShape

if TYPE_CHECKING:
    from twinserve_loadtest.locust_cli.conductor import Conductor

MOST_USERS = 1024.0
"""Locust adds and removes this many users a second: all at once."""


class BlockShape(LoadTestShape):
    """Follows the conductor; ``--users`` and ``--run-time`` keep their meaning.

    Locust makes one instance when it loads the locustfile and asks it once a second.
    """

    use_common_options: ClassVar[bool] = True
    conductor: ClassVar[Conductor | None] = None
    """Set when the environment is there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._began = 0.0

    def tick(self) -> tuple[int, float] | None:
        """The users wanted now, all at once; None when the test has ended."""
        conductor = self.conductor
        assert conductor is not None
        if not conductor.begun:
            self._began = time.monotonic()
            conductor.begin()
        limit = conductor.options.run_time
        if limit and time.monotonic() - self._began > limit:
            conductor.interrupt()
        if not conductor.running:
            conductor.begun = False
            return None
        return conductor.blocks.wanted_users, MOST_USERS
