"""All traffic of one variant in one gateway: its queue, and its links to the variant's model processes."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable

from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.batch_queue import BatchPolicy, BatchQueue
from twinserve_server.engine.job import Job
from twinserve_server.engine.layout import Form, Layout
from twinserve_server.engine.link import Link
from twinserve_server.engine.pace import Pace
from twinserve_server.errors import (
    DeadlineUnreachableError,
    ModelUnavailableError,
    QueueFullError,
    TwinserveError,
)

log = logging.getLogger(__name__)

#: After this long without a model process, a variant refuses requests instead of queueing them.
GIVE_UP_NS = 10_000_000_000


class ModelChannel:
    """Queues jobs and keeps every free model process of the variant busy. Single-threaded by contract."""

    def __init__(
        self,
        model: ModelVersion,
        name: str,
        policy: BatchPolicy,
        on_transfer: Callable[[int], None],
        *,
        pipeline: int = 1,
    ) -> None:
        """``on_transfer`` is called per answered batch with the ns it was neither waiting nor being processed."""
        self.model = model
        self.name = name
        self.queue = BatchQueue(policy)
        self._pace = Pace(policy.max_batch_size)
        self.links: list[Link] = []
        #: Called when the queue holds a batch back until a certain time (``time.monotonic_ns``).
        self.on_held_back: Callable[[int], None] | None = None
        #: Runs a callback once all requests that arrived together are queued; None: unknown which did.
        self.later: Callable[[Callable[[], None]], None] | None = None
        self.on_transfer = on_transfer
        self._pipeline = pipeline
        self._batch_ids = itertools.count()
        self._item_bytes: dict[DataType, int] = {datatype: model.item_bytes(datatype) for datatype in model.datatypes}
        self._down_since_ns = time.monotonic_ns()
        self._pump_due = False

    @property
    def ready(self) -> bool:
        """Whether a warm model process is connected."""
        return bool(self.links)

    @property
    def images_in_flight(self) -> int:
        """Images currently in model processes."""
        return sum(link.images_in_flight for link in self.links)

    @property
    def bytes_in_flight(self) -> int:
        """Bytes of those images."""
        return sum(link.bytes_in_flight for link in self.links)

    def item_bytes(self, form: Form) -> int:
        """Bytes of one item."""
        return form.item_bytes if isinstance(form, Layout) else self._item_bytes[form]

    def next_batch_id(self) -> int:
        """The next batch number: an answer must name its batch."""
        return next(self._batch_ids)

    def submit(self, job: Job) -> None:
        """Queue ``job``; if a model process is free it starts at once, or with the jobs that arrived with it.

        Raises:
            QueueFullError: the queue is full.
            DeadlineUnreachableError: the deadline would pass in the queue.
            ModelUnavailableError: there has been no model process for a while.
        """
        now_ns = time.monotonic_ns()
        self._admit(job, now_ns)
        self._pump_soon(now_ns)

    def submit_all(self, jobs: Iterable[Job]) -> None:
        """Queue ``jobs``, which arrived together; any that :meth:`submit` would refuse ends with that error."""
        now_ns = time.monotonic_ns()
        for job in jobs:
            try:
                self._admit(job, now_ns)
            except TwinserveError as error:
                job.fail(error)
        self._pump_soon(now_ns)

    def _admit(self, job: Job, now_ns: int) -> None:
        if not self.links and now_ns - self._down_since_ns > GIVE_UP_NS:
            raise self._unavailable()
        try:
            self._pace.check(self.queue.images, len(self.links), job.deadline_ns, now_ns)
            self.queue.push(job, now_ns)
        except (DeadlineUnreachableError, QueueFullError) as error:
            error.retry_after = self._pace.refused()
            raise

    def _pump_soon(self, now_ns: int) -> None:
        if self.later is None:
            self.pump(now_ns)
        elif not self._pump_due and self._free_link() is not None:
            # Requests that arrived together leave together: the first must not leave alone.
            self._pump_due = True
            self.later(self._pump_now)

    def pump(self, now_ns: int) -> None:
        """Give batches to free links until the queue is empty, held back, or no link is free."""
        queue = self.queue
        while len(queue) and (link := self._free_link()) is not None:
            batch = queue.take(now_ns)
            if batch is None:
                due_ns = queue.next_due_ns()
                if due_ns and self.on_held_back is not None:
                    self.on_held_back(due_ns)
                return
            # Of equally free links, the one idle longest: otherwise every gateway asks the same replica first.
            self.links.remove(link)
            self.links.append(link)
            try:
                link.send(batch)
            except Exception as error:
                log.exception("variant %r: a batch of %d images cannot be sent", self.name, batch.images)
                why = TwinserveError(f"variant {self.name!r}: the batch could not be sent ({error})")
                batch.fail(why)
                # Half of it may be on its way.
                link.close(why)

    def tick(self, now_ns: int) -> None:
        """Housekeeping, several times a second: end jobs that may no longer run."""
        self.queue.expire(now_ns)
        self._pace.tick()
        if not self.links and now_ns - self._down_since_ns > GIVE_UP_NS:
            self.queue.fail_all(self._unavailable())

    def add(self, link: Link) -> None:
        """A model process is ready."""
        self.links.append(link)
        self.pump(time.monotonic_ns())

    def remove(self, link: Link) -> None:
        """A model process has gone."""
        if link in self.links:
            self.links.remove(link)
            if not self.links:
                self._down_since_ns = time.monotonic_ns()

    def released(self, link: Link, images: int, took_ns: int) -> None:
        """``link`` answered a batch of ``images`` after ``took_ns``: give it the next one."""
        self._pace.answered(images, took_ns)
        if len(self.queue) and not link.closed:
            self.pump(time.monotonic_ns())

    def _pump_now(self) -> None:
        self._pump_due = False
        self.pump(time.monotonic_ns())

    def _free_link(self) -> Link | None:
        best: Link | None = None
        for link in self.links:
            if link.in_flight < self._pipeline and (best is None or link.in_flight < best.in_flight):
                best = link
        return best

    def _unavailable(self) -> ModelUnavailableError:
        return ModelUnavailableError(f"variant {self.name!r}: no model process is ready; try again later")
