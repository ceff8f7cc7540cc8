"""The queue of one variant: forms batches greedily, with Triton's terms for the options.

Greedy: a batch goes as soon as a model process is free, with everything that has queued while it was busy; nothing
waits while the engine is idle. ``max_queue_delay_ns`` and ``preferred_batch_sizes`` hold a batch back on purpose (as
Triton's dynamic batcher does); in every trial the greedy default was at least as fast.

Callers take turns (``lanes``). When requests wait so long that deadlines are at risk, the newest goes first: the oldest
can no longer be met, and answering in order would answer nobody in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twinserve_server.engine.amount import Amount
from twinserve_server.engine.job import Batch, Job
from twinserve_server.engine.lanes import Lanes
from twinserve_server.errors import DeadlineError, QueueFullError, TwinserveError

#: A request that has waited for this fraction of its timeout means that the queue is too long.
LONG_WAIT: Final = 0.5
DEFAULT_BOUNDS: Final = Amount(requests=4096, images=4096, bytes=256 << 20)


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How one variant's requests are batched.

    Attributes:
        max_batch_size: the most images in one forward pass; a larger request is split.
        max_queue_delay_ns: how long the oldest request may wait for its batch to fill; 0 for not at all.
        preferred_batch_sizes: ascending; with a delay, a batch goes early only at one of these sizes.
        bounds: how much may wait; a request that would exceed one of them is refused.
        enabled: False runs each request in its own forward pass.
    """

    max_batch_size: int = 64
    max_queue_delay_ns: int = 0
    preferred_batch_sizes: tuple[int, ...] = ()
    bounds: Amount = DEFAULT_BOUNDS
    enabled: bool = True


class BatchQueue:
    """Jobs of one variant that have not started yet."""

    def __init__(self, policy: BatchPolicy) -> None:
        self.policy = policy
        self.images = 0
        #: Of the waiting inputs; each counts until its last part has left, because its memory is in use until then.
        self.bytes = 0
        self._jobs = Lanes()

    def __len__(self) -> int:
        return len(self._jobs)

    def push(self, job: Job, now_ns: int) -> None:
        """Append ``job``.

        Raises:
            QueueFullError: it would pass a bound; the message names that one.
        """
        bounds, waiting, size = self.policy.bounds, len(self._jobs), len(job.data)
        # A request larger than a bound may still enter an empty queue: it can never fit otherwise.
        if waiting and (
            waiting >= bounds.requests or self.images + job.count > bounds.images or self.bytes + size > bounds.bytes
        ):
            raise QueueFullError(_what_is_full(Amount(waiting, self.images, self.bytes), job.count, size, bounds))
        job.enqueued_ns = now_ns
        self.images += job.count
        self.bytes += size
        self._jobs.push(job)

    def take(self, now_ns: int) -> Batch | None:
        """The next batch; None if nothing is waiting or the policy holds it back.

        Jobs whose caller has gone or whose deadline has passed end here; the parts that have not started never run.
        """
        jobs = self._jobs
        newest = self._is_late(now_ns)
        self._drop_dead(now_ns, newest)
        if not jobs:
            return None
        limit = self._limit(now_ns)
        if not limit:
            return None
        batch: Batch | None = None
        if self.policy.enabled and self.images <= limit and (batch := self._everything(now_ns)) is not None:
            return batch
        while jobs:
            job = jobs.next(newest=newest)
            if self._is_dead(job, now_ns):
                self._discard(job, now_ns)
                continue
            if batch is None:
                batch = Batch(job.datatype)
            left = job.count - job.taken
            if batch.images and (left > limit - batch.images or job.datatype != batch.datatype):
                break
            count = min(left, limit)
            batch.parts.append((job, job.taken, count))
            batch.images += count
            if not job.taken:
                job.queue_ns = now_ns - job.enqueued_ns
            job.taken += count
            self.images -= count
            if job.taken == job.count:
                jobs.drop(job)
                self.bytes -= len(job.data)
            jobs.rotate(job, newest=newest)
            if batch.images >= limit or not self.policy.enabled:
                break
        return batch

    def _everything(self, now_ns: int) -> Batch | None:
        """All that waits as one batch, whoever's turn it is; None: there is one among it that does not go so."""
        waiting = list(self._jobs)
        batch = Batch(waiting[0].datatype)
        for job in waiting:
            if job.taken or job.datatype != batch.datatype or self._is_dead(job, now_ns):
                return None
            batch.parts.append((job, 0, job.count))
        for job in waiting:
            job.queue_ns = now_ns - job.enqueued_ns
            job.taken = job.count
        batch.images, self.images, self.bytes = self.images, 0, 0
        self._jobs = Lanes()
        return batch

    def next_due_ns(self) -> int:
        """When the policy lets the oldest job go at the latest; 0 if nothing waits."""
        if not self._jobs or not self.policy.max_queue_delay_ns:
            return 0
        return self._oldest_ns() + self.policy.max_queue_delay_ns

    def fail_all(self, error: TwinserveError) -> None:
        """End every waiting job with ``error``."""
        jobs, self._jobs, self.images, self.bytes = self._jobs, Lanes(), 0, 0
        for job in jobs:
            job.fail(error)

    def expire(self, now_ns: int) -> None:
        """End the waiting jobs that may no longer run, wherever they are in the queue."""
        for job in self._jobs.remove(lambda job: self._is_dead(job, now_ns)):
            self._end(job, now_ns)

    def _limit(self, now_ns: int) -> int:
        """How many images may go now; 0 holds the batch back."""
        policy = self.policy
        if not policy.enabled:
            return policy.max_batch_size
        if not policy.max_queue_delay_ns or self.images >= policy.max_batch_size:
            return policy.max_batch_size
        if now_ns - self._oldest_ns() >= policy.max_queue_delay_ns:
            return policy.max_batch_size
        fitting = [size for size in policy.preferred_batch_sizes if size <= self.images]
        return max(fitting, default=0)

    def _oldest_ns(self) -> int:
        return min(job.enqueued_ns for job in self._jobs)

    def _is_late(self, now_ns: int) -> bool:
        """Whether requests wait so long that their deadlines will pass."""
        if self.images <= self.policy.max_batch_size:
            return False  # all of them go now
        job = self._jobs.next()
        return job.deadline_ns != 0 and now_ns - job.enqueued_ns > LONG_WAIT * (job.deadline_ns - job.enqueued_ns)

    def _drop_dead(self, now_ns: int, newest: bool) -> None:
        while self._jobs and self._is_dead(job := self._jobs.next(newest=newest), now_ns):
            self._discard(job, now_ns)

    @staticmethod
    def _is_dead(job: Job, now_ns: int) -> bool:
        return job.error is not None or job.cancelled or (job.deadline_ns != 0 and now_ns >= job.deadline_ns)

    def _discard(self, job: Job, now_ns: int) -> None:
        self._jobs.drop(job)
        self._end(job, now_ns)

    def _end(self, job: Job, now_ns: int) -> None:
        self.images -= job.count - job.taken
        self.bytes -= len(job.data)
        waited = (now_ns - job.enqueued_ns) / 1e6
        # The caller of a cancelled job is not told: the code that cancelled it has counted it.
        left = f"{job.count - job.taken} of its {job.count} images were" if job.taken else "it was"
        job.fail(DeadlineError(f"the deadline passed after {waited:.1f} ms in the queue; {left} not run"))


def _what_is_full(held: Amount, images: int, size: int, bounds: Amount) -> str:
    """Which bound a request of so many images and bytes would pass, in words."""
    if held.requests >= bounds.requests:
        what, holds, more, limit = "requests", held.requests, 1, bounds.requests
    elif held.images + images > bounds.images:
        what, holds, more, limit = "images", held.images, images, bounds.images
    else:
        what, holds, more, limit = "bytes", held.bytes, size, bounds.bytes
    return f"the queue holds {holds} {what}, {more} more would exceed its limit of {limit} {what}; try again later"
