"""A request in a variant's queue, and the batch it runs in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from twinserve_server.engine.layout import Form, Layout
from twinserve_server.errors import InferenceError, TwinserveError

Buffer = bytes | bytearray | memoryview

log = logging.getLogger(__name__)


#: The stages of a request, in order; a job has the time of each as ``<stage>_ns``.
STAGES: Final = ("queue", "transfer", "preprocess", "inference", "postprocess")


@dataclass(frozen=True, slots=True)
class BatchTiming:
    """How long each step of one forward pass took, in nanoseconds, and on how many images it ran."""

    wait_ns: int
    preprocess_ns: int
    inference_ns: int
    postprocess_ns: int
    batch_size: int


class Job:
    """The images of one request for one variant, and, once it is done, the answer.

    ``on_done`` is told of the job exactly once, with those that were done together, from the thread that drives the
    variant's channel: with ``error`` set, or with ``classes`` (uint32, one an image) and ``probabilities`` (float32,
    images x classes, row-major) filled in. Of a model that returns tensors, ``probabilities`` holds its rows, in the
    layout ``outputs``; the classes mean nothing.
    """

    __slots__ = (
        "batch_size",
        "cancelled",
        "classes",
        "count",
        "data",
        "datatype",
        "deadline_ns",
        "enqueued_ns",
        "error",
        "inference_ns",
        "on_done",
        "outputs",
        "owner",
        "peer",
        "pending",
        "postprocess_ns",
        "preprocess_ns",
        "probabilities",
        "queue_ns",
        "taken",
        "transfer_ns",
    )

    def __init__(
        self,
        data: Buffer,
        datatype: Form,
        count: int,
        on_done: Callable[[Sequence[Job]], None],
        deadline_ns: int = 0,
        owner: Any = None,
        peer: str = "",
    ) -> None:
        self.data = data
        self.datatype: Form = datatype
        self.count = count
        self.on_done = on_done
        #: Data that ``on_done`` needs.
        self.owner = owner
        #: Whose job it is: callers take turns.
        self.peer = peer
        #: Against ``time.monotonic_ns()``; 0: none.
        self.deadline_ns = deadline_ns
        self.enqueued_ns = 0
        self.cancelled = False
        self.error: TwinserveError | None = None
        self.classes: Buffer = b""
        self.probabilities: Buffer = b""
        self.outputs: Layout | None = None
        self.queue_ns = self.transfer_ns = self.preprocess_ns = self.inference_ns = self.postprocess_ns = 0
        self.batch_size = 0
        #: Images assigned to batches so far; images not yet answered.
        self.taken = 0
        self.pending = count

    def cancel(self) -> None:
        """The caller has gone: what has not started of the job will not run. ``on_done`` is not called."""
        self.cancelled = True

    def fail(self, error: TwinserveError) -> None:
        """End the job with ``error``; the first error counts."""
        if self.error is None and self.pending:
            # Kept without its traceback: those frames refer to this job and hold its pixels.
            self.error = error.with_traceback(None)
            self.pending = 0
            end_all((self,))

    def take(
        self,
        start: int,
        count: int,
        classes: Buffer,
        probabilities: Buffer,
        timing: BatchTiming,
        transfer_ns: int,
    ) -> bool:
        """Take the answers of images ``start`` .. ``start + count``; whether the job is done now, and not told yet."""
        if self.error is not None:
            return False
        if count == self.count:
            self.classes = classes
            self.probabilities = probabilities
        else:
            if not self.classes:
                self.classes = bytearray(4 * self.count)
                self.probabilities = bytearray(len(probabilities) // count * self.count)
            row = len(self.probabilities) // self.count
            memoryview(self.classes)[4 * start : 4 * (start + count)] = classes
            memoryview(self.probabilities)[row * start : row * (start + count)] = probabilities
        self.transfer_ns += transfer_ns
        self.preprocess_ns += timing.preprocess_ns
        self.inference_ns += timing.inference_ns
        self.postprocess_ns += timing.postprocess_ns
        self.batch_size = max(self.batch_size, timing.batch_size)
        self.pending -= count
        return not self.pending


def end_all(jobs: Sequence[Job]) -> None:
    """Tell whoever waits for ``jobs`` that they are done; of cancelled ones nobody hears."""
    for on_done, group in groupby([job for job in jobs if not job.cancelled], _on_done):
        try:
            on_done(tuple(group))
        except Exception:
            log.exception("a request's end could not be reported")


_on_done = attrgetter("on_done")


class Batch:
    """Whole jobs, or one part of a job larger than the batch limit, that share a forward pass."""

    __slots__ = ("batch_id", "datatype", "images", "parts", "sent_ns")

    def __init__(self, datatype: Form) -> None:
        self.datatype: Form = datatype
        #: (job, its first image, how many)
        self.parts: list[tuple[Job, int, int]] = []
        self.images = 0
        self.batch_id = 0
        self.sent_ns = 0

    def buffers(self, item_bytes: int) -> list[Buffer]:
        """The pixels of all parts, in order, without copying."""
        return [
            job.data if count == job.count else memoryview(job.data)[start * item_bytes : (start + count) * item_bytes]
            for job, start, count in self.parts
        ]

    def returns(self, outputs: Layout) -> None:
        """What the rows of the answer hold; a job whose other parts got rows of another layout fails."""
        for job, _, _ in self.parts:
            if job.outputs not in (None, outputs):
                job.fail(InferenceError("the items of one request were answered with different shapes; send one each"))
            job.outputs = outputs

    def fail(self, error: TwinserveError) -> None:
        """End every job that has a part in this batch."""
        for job, _, _ in self.parts:
            job.fail(error)

    def answer(
        self,
        classes: memoryview,
        probabilities: memoryview,
        timing: BatchTiming,
        now_ns: int,
        errors: dict[int, TwinserveError] | None = None,
    ) -> int:
        """Hand each job its rows; return the nanoseconds of transfer.

        Args:
            classes: uint32, ``images`` of them, as bytes.
            probabilities: float32, ``images`` rows, as bytes.
            errors: by row, what went wrong: a job with such a row fails.
            timing: what the model process measured.
            now_ns: when the answer arrived; time that the model process does not account for is transfer.
        """
        row = len(probabilities) // self.images
        spent = timing.wait_ns + timing.preprocess_ns + timing.inference_ns + timing.postprocess_ns
        transfer_ns = max(0, now_ns - self.sent_ns - spent)
        at = 0
        done = []
        for job, start, count in self.parts:
            end = at + count
            if errors and (wrong := [index for index in range(at, end) if index in errors]):
                job.fail(errors[wrong[0]])
                at = end
                continue
            # Waiting in the model process for another gateway's batch counts as queueing.
            job.queue_ns += timing.wait_ns
            if job.take(
                start, count, classes[4 * at : 4 * end], probabilities[row * at : row * end], timing, transfer_ns
            ):
                done.append(job)
            at = end
        end_all(done)
        return transfer_ns
