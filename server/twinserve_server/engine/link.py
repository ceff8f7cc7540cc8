"""What carries a channel's batches to a model and their answers back, whichever way: over a socket, or to a thread."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from twinserve_server.engine.job import Batch, BatchTiming
from twinserve_server.engine.layout import Layout
from twinserve_server.errors import InferenceError, ModelUnavailableError, TwinserveError

if TYPE_CHECKING:
    from twinserve_server.engine.channel import ModelChannel

log = logging.getLogger(__name__)


class Link(ABC):
    """One way from a channel to a model that runs its batches in the order in which they were sent."""

    def __init__(self, channel: ModelChannel) -> None:
        self.channel = channel
        self.closed = False
        self._in_flight: deque[Batch] = deque()

    @property
    def in_flight(self) -> int:
        """Batches sent and not answered."""
        return len(self._in_flight)

    @property
    def images_in_flight(self) -> int:
        """Images sent and not answered."""
        return sum(batch.images for batch in self._in_flight)

    @property
    def bytes_in_flight(self) -> int:
        """Bytes of those images."""
        return sum(batch.images * self.channel.item_bytes(batch.datatype) for batch in self._in_flight)

    @abstractmethod
    def send(self, batch: Batch) -> None:
        """Give ``batch`` to the model."""

    def close(self, why: TwinserveError | None = None) -> None:
        """Use this way no more; every batch in flight fails with ``why``, or as unavailable."""
        if self.closed:
            return
        if why is None:
            why = ModelUnavailableError(
                f"variant {self.channel.name!r}: its model process ended while it ran this request; try again"
            )
        self.closed = True
        self._disconnect()
        self.channel.remove(self)
        held, self._in_flight = self._in_flight, deque()
        for batch in held:
            batch.fail(why)

    @abstractmethod
    def _disconnect(self) -> None:
        """Let go of what leads to the model."""

    def _answered(
        self,
        classes: memoryview,
        probabilities: memoryview,
        timing: BatchTiming,
        messages: Mapping[int, str],
        outputs: Layout | None = None,
    ) -> None:
        """Hand out the answers of the oldest batch in flight.

        Args:
            classes, probabilities: see :meth:`Batch.answer`.
            timing: what the model measured.
            messages: by row, what went wrong.
            outputs: of rows of tensors: what they hold.
        """
        batch = self._in_flight.popleft()
        if outputs is not None:
            batch.returns(outputs)
        now_ns = time.monotonic_ns()
        errors: dict[int, TwinserveError] = {
            row: InferenceError(f"variant {self.channel.name!r}: {message}") for row, message in messages.items()
        }
        try:
            # The link is free: the next batch goes before this one's answers are written, so that the model works
            # while the gateway encodes.
            self.channel.released(self, batch.images, now_ns - batch.sent_ns)
            transfer_ns = batch.answer(classes, probabilities, timing, now_ns, errors)
            self.channel.on_transfer(transfer_ns)
        except Exception as error:
            log.exception("variant %r: the answers of a batch cannot be handed out", self.channel.name)
            batch.fail(TwinserveError(f"variant {self.channel.name!r}: its answer could not be handed out ({error})"))
