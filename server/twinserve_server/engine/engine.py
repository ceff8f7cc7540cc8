"""The core's front door: what every transport calls. Single-threaded by contract; knows no wire format."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from twinserve_server.artefact.manifest import DataType, ModelVersion
from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.feedback import FeedbackStore, Judgement
from twinserve_server.engine.job import Buffer, Job
from twinserve_server.engine.router import Router, RouteReason, TrafficPolicy
from twinserve_server.errors import (
    DeadlineError,
    DrainingError,
    QueueFullError,
    TwinserveError,
    UnknownModelError,
    shown,
)


class EngineObserver(Protocol):
    """What the core tells about requests; metrics, logs and traces implement it.

    Every routed call ends in exactly one of ``on_answered`` and ``on_refused``. A shadow run is a call of its own that
    was not routed.
    """

    def on_routed(self, call: Call) -> None:
        """The router chose the variant of a new call."""

    def on_refused(self, call: Call, error: TwinserveError) -> None:
        """A call ended without an answer."""

    def on_answered(self, call: Call) -> None:
        """A call was answered: ``call.job`` is complete, ``call.total_ns`` known."""

    def on_shadow_dropped(self, primary: Call, shadow: str) -> None:
        """The shadow had no room: the request ran on its primary alone."""

    def on_shadow_compared(self, primary: Call, shadow: Call) -> None:
        """A request ran on both."""

    def on_feedback(self, judgement: Judgement) -> None:
        """Labels arrived."""


@dataclass(slots=True)
class ServedModel:
    """One model as a gateway serves it."""

    version: ModelVersion
    channels: dict[str, ModelChannel]
    router: Router


log = logging.getLogger(__name__)

#: The route that answers, logs and metrics carry: did the request name the variant, or did the router choose it?
ROUTES: Final = {"named": "named", "key": "split", "random": "split", "shadow": "shadow"}


class Call:
    """One request between decoding and encoding, or its run on a shadow."""

    __slots__ = (
        "job",
        "note",
        "on_done",
        "owner",
        "reason",
        "request_id",
        "route",
        "served",
        "started_ns",
        "total_ns",
        "variant",
    )

    def __init__(
        self, served: ServedModel, variant: str, reason: RouteReason | Literal["shadow"], request_id: str
    ) -> None:
        self.served = served
        self.variant = variant
        #: Why the router chose the variant.
        self.reason = reason
        #: "named", "split" or "shadow".
        self.route = ROUTES[reason]
        self.request_id = request_id
        self.started_ns = time.monotonic_ns()
        self.total_ns = 0
        self.job: Job | None = None
        self.on_done: Callable[[Call], None] | None = None
        #: What the transport wants to find again when the call ends.
        self.owner: Any = None
        #: What an observer wants to find again when the call ends.
        self.note: Any = None


class Engine:
    """Routes requests to the channels of their variants and keeps what later calls need."""

    def __init__(
        self,
        models: dict[str, ServedModel],
        default_model: str,
        observer: EngineObserver,
        feedback: FeedbackStore,
        *,
        id_prefix: str = "",
    ) -> None:
        self.models = models
        self.default_model = default_model
        self.draining = False
        self._observer = observer
        self._feedback = feedback
        self._id_prefix = f"{id_prefix}{os.urandom(4).hex()}-"
        self._ids = itertools.count(1)

    @property
    def ready(self) -> bool:
        """Every variant of every model has a warm model process."""
        return all(channel.ready for served in self.models.values() for channel in served.channels.values())

    @property
    def routable(self) -> bool:
        """Every variant that a request without a variant may meet has a warm model process."""
        return all(served.channels[name].ready for served in self.models.values() for name in served.router.live)

    @property
    def least_queue_images(self) -> int:
        """What the smallest queue of any variant holds."""
        return min(
            channel.queue.policy.max_queue_images
            for served in self.models.values()
            for channel in served.channels.values()
        )

    def find(self, model: str) -> ServedModel:
        """The model of that name; an empty name means the default.

        Raises:
            UnknownModelError: it is not served here.
        """
        served = self.models.get(model or self.default_model)
        if served is None:
            raise UnknownModelError(
                f"model: {shown(model)} is not served here; served are: {', '.join(sorted(self.models))}"
            )
        return served

    def open_call(self, served: ServedModel, variant: str, routing_key: str, request_id: str) -> Call:
        """Route a decoded request.

        Raises:
            UnknownModelError: the named variant is not served.
            DrainingError: the server is going away.
        """
        if self.draining:
            raise DrainingError("the server is shutting down; try another one, or again later")
        name, reason = served.router.route(variant, routing_key)
        call = Call(served, name, reason, request_id or f"{self._id_prefix}{next(self._ids):x}")
        self._observer.on_routed(call)
        return call

    def run(
        self,
        call: Call,
        data: Buffer,
        datatype: DataType,
        count: int,
        on_done: Callable[[Call], None],
        deadline_ns: int = 0,
    ) -> None:
        """Queue the call; ``on_done(call)`` follows once, perhaps before this returns, with ``call.job`` complete.

        If ``on_done`` raises, it is called once more, with ``call.job.error`` set: a caller hears of every request.
        """
        call.on_done = on_done
        job = call.job = Job(data, datatype, count, self._finish, deadline_ns, call)
        try:
            call.served.channels[call.variant].submit(job)
        except TwinserveError as error:
            job.fail(error)

    def abandon(self, call: Call, error: TwinserveError) -> None:
        """The caller is gone, ``error`` says why: what has not started of the call will not run."""
        if call.job is not None and call.job.pending and not call.job.cancelled:
            call.job.cancel()
            call.total_ns = time.monotonic_ns() - call.started_ns
            self._observer.on_refused(call, error)

    def judge(self, request_id: str, labels: Sequence[int]) -> Judgement:
        """Labels for an earlier answer of this gateway; errors as :meth:`FeedbackStore.judge`."""
        judgement = self._feedback.judge(request_id, labels)
        self._observer.on_feedback(judgement)
        return judgement

    def knows(self, request_id: str) -> bool:
        """Whether this gateway answered ``request_id`` and still remembers it."""
        return self._feedback.knows(request_id)

    def set_policy(self, model: str, policy: TrafficPolicy) -> None:
        """Put a traffic policy in force."""
        self.find(model).router.set_policy(policy)

    def tick(self) -> None:
        """Housekeeping of every channel, a few times a second."""
        now_ns = time.monotonic_ns()
        for served in self.models.values():
            for channel in served.channels.values():
                channel.tick(now_ns)

    def _finish(self, job: Job) -> None:
        call: Call = job.owner
        # Call and job know each other; parted, they go without waiting for the collector of cycles.
        job.owner = None
        now_ns = time.monotonic_ns()
        call.total_ns = now_ns - call.started_ns
        if 0 < job.deadline_ns < now_ns and job.error is None:
            # Its caller has given up by now: an answer would count as good what nobody received.
            job.error = DeadlineError("the deadline passed while the request ran")
        on_done, observer = call.on_done, self._observer
        assert on_done is not None
        try:
            if job.error is None:
                version = call.served.version
                self._feedback.remember(call.request_id, version.model, call.variant, version.classes, job.classes)
                observer.on_answered(call)
            else:
                observer.on_refused(call, job.error)
            on_done(call)
        except Exception as error:
            log.exception("request %s: its answer could not be given", call.request_id)
            job.error = TwinserveError(f"the answer could not be given ({type(error).__name__}: {error})")
            on_done(call)
        if job.error is None:
            self._maybe_shadow(call, job)

    def _maybe_shadow(self, call: Call, first: Job) -> None:
        served, primary = call.served, call.variant
        name = served.router.draw_shadow(primary)
        if name is None:
            return
        channel = served.channels[name]
        # A shadow takes only what nobody else wants: no queue of its own, none of the primary's.
        if not channel.ready or len(channel.queue) or len(served.channels[primary].queue) or channel.images_in_flight:
            self._observer.on_shadow_dropped(call, name)
            return
        shadow = Call(served, name, "shadow", call.request_id)

        def compared(second: Job) -> None:
            shadow.total_ns = time.monotonic_ns() - shadow.started_ns
            if second.error is not None:
                self._observer.on_refused(shadow, second.error)
                return
            self._observer.on_answered(shadow)
            self._observer.on_shadow_compared(call, shadow)

        shadow.job = Job(first.data, first.datatype, first.count, compared)
        try:
            channel.submit(shadow.job)
        except QueueFullError:
            self._observer.on_shadow_dropped(call, name)
