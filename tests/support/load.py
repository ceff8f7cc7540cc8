"""Several callers who ask without a pause, for tests of what happens meanwhile."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from types import TracebackType

from support.server_process import wait_until
from support.tiny_model import UInt8Array
from twinserve_client import Client, TwinserveError


class Load:
    """Asks from entry to exit; keeps every error."""

    def __init__(self, client: Client, images: UInt8Array, variants: Sequence[str], users: int) -> None:
        self._client, self._images, self._variants = client, images, variants
        self._ended = threading.Event()
        self._users = [threading.Thread(target=self._ask, daemon=True) for _ in range(users)]
        #: Answers so far.
        self.answers = 0
        self.errors: list[TwinserveError] = []

    def __enter__(self) -> Load:
        for user in self._users:
            user.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for user in self._users:
            user.join()

    def wait_for(self, more: int, seconds: float) -> None:
        """Wait for so many answers more."""
        wanted = self.answers + more
        wait_until(lambda: self.answers >= wanted, seconds, lambda: f"{self.answers} of {wanted}; {self.errors[:3]}")

    def _ask(self) -> None:
        for variant in itertools.cycle(self._variants):
            if self._ended.is_set():
                return
            try:
                self._client.predict(self._images, variant=variant)
            except TwinserveError as error:
                self.errors.append(error)
            else:
                self.answers += 1
