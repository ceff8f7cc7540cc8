"""A request as the engine sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Literal

from twinserve_server.engine.job import STAGES, Job
from twinserve_server.engine.router import ROUTES, RouteReason
from twinserve_server.engine.served import ServedModel
from twinserve_server.errors import TwinserveError


class Call:
    """One request between decoding and encoding, or its run on a shadow; the object that hooks receive.

    Every routed call ends exactly once, answered or refused. A shadow run is a separate call that was not routed.
    """

    __slots__ = (
        "error",
        "job",
        "note",
        "on_done",
        "owner",
        "primary",
        "reason",
        "receipt",
        "request_id",
        "route",
        "served",
        "started_ns",
        "state",
        "total_ns",
        "variant",
    )

    def __init__(
        self,
        served: ServedModel,
        variant: str,
        reason: RouteReason | Literal["shadow"],
        request_id: str,
        primary: Call | None = None,
        started_ns: int = 0,
    ) -> None:
        #: ``dropped``: a shadow run for which there was no room.
        self.state: Literal["routed", "answered", "refused", "dropped"] = "routed"
        #: Why it was refused.
        self.error: TwinserveError | None = None
        #: The answered call that this one shadows.
        self.primary = primary
        self.served = served
        self.variant = variant
        #: Why the router chose the variant.
        self.reason = reason
        #: "named", "split" or "shadow".
        self.route = ROUTES[reason]
        self.request_id = request_id
        #: The signed answer; None: the caller chose the id.
        self.receipt: str | None = ""
        self.started_ns = started_ns or time.monotonic_ns()
        self.total_ns = 0
        self.job: Job | None = None
        self.on_done: Callable[[Call], None] | None = None
        #: Data that the transport needs when the call ends.
        self.owner: Any = None
        #: Data that a hook needs when the call ends.
        self.note: Any = None

    @property
    def answer_id(self) -> str:
        """The request id as the caller reads it: the signed answer, if there is one, follows the name."""
        return self.request_id + (self.receipt or "")

    def end(self, error: TwinserveError | None, now_ns: int) -> None:
        """It is over at ``now_ns`` (monotonic): refused with ``error``, or answered."""
        self.total_ns = now_ns - self.started_ns
        self.error = error
        self.state = "answered" if error is None else "refused"


#: The times that callers see, in the order of :func:`timing_of`.
TIMING: Final = (*(f"{stage}_ns" for stage in STAGES), "total_ns", "batch_size")


def timing_of(call: Call, job: Job) -> tuple[int, ...]:
    """Where the time of a finished call went, in nanoseconds, and how many images shared its forward pass."""
    return (
        job.queue_ns,
        job.transfer_ns,
        job.preprocess_ns,
        job.inference_ns,
        job.postprocess_ns,
        call.total_ns,
        job.batch_size,
    )
