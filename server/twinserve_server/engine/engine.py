"""The core's front door: what every transport calls. Single-threaded by contract; knows no wire format."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal

from twinserve_server.engine.feedback import FeedbackStore, Judgement
from twinserve_server.engine.job import Buffer, Job
from twinserve_server.engine.layout import Form
from twinserve_server.engine.receipts import Receipt, Receipts
from twinserve_server.engine.router import RouteReason, TrafficPolicy
from twinserve_server.engine.served import AT, ServedModel
from twinserve_server.errors import (
    DeadlineError,
    DrainingError,
    QueueFullError,
    TwinserveError,
    UnknownModelError,
    shown,
)

log = logging.getLogger(__name__)

#: The route that answers, logs and metrics carry: did the request name the variant, or did the router choose it?
ROUTES: Final = {"named": "named", "key": "split", "random": "split", "shadow": "shadow"}


class Call:
    """One request between decoding and encoding, or its run on a shadow: what hooks are told about.

    Every routed call ends once, answered or refused. A shadow run is a call of its own that was not routed.
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
        self.started_ns = time.monotonic_ns()
        self.total_ns = 0
        self.job: Job | None = None
        self.on_done: Callable[[Call], None] | None = None
        #: What the transport wants to find again when the call ends.
        self.owner: Any = None
        #: What a hook wants to find again when the call ends.
        self.note: Any = None

    @property
    def answer_id(self) -> str:
        """The request id as the caller reads it: the signed answer, if there is one, follows the name."""
        return self.request_id + (self.receipt or "")


#: Told of every call when it is routed and when it has ended, and of every judgement.
Hook = Callable[[Call | Judgement], None]


class Engine:
    """Routes requests to the channels of their variants and keeps what later calls need."""

    def __init__(
        self,
        models: dict[str, ServedModel],
        default_model: str,
        hooks: Sequence[Hook],
        feedback: FeedbackStore,
        receipts: Receipts | None = None,
        *,
        id_prefix: str = "",
    ) -> None:
        #: The active version of each model, all that are loaded, and those that only finish what they have.
        self.models = models
        self.loaded = {name: {served.version.version: served} for name, served in models.items()}
        self.leaving: list[ServedModel] = []
        self.default_model = default_model
        self.draining = False
        self._hooks = tuple(hooks)
        self._feedback = feedback
        self._receipts = receipts
        self._id_prefix = f"{id_prefix}{os.urandom(4).hex()}-"
        self._ids = itertools.count(1)

    @property
    def ready(self) -> bool:
        """Every variant of every loaded version has a warm model process."""
        return all(served.ready for versions in self.loaded.values() for served in versions.values())

    @property
    def routable(self) -> bool:
        """Every variant that a request without a variant may meet has a warm model process."""
        return all(served.live_ready for served in self.models.values())

    @property
    def least_queue_images(self) -> int:
        """What the smallest queue of any variant holds."""
        return min(
            channel.queue.policy.max_queue_images
            for served in self.models.values()
            for channel in served.channels.values()
        )

    def find(self, model: str, variant: str = "") -> ServedModel:
        """The version of a model that answers for ``variant``; an empty model means the default one.

        Raises:
            UnknownModelError: it is not served here.
        """
        served = self.models.get(model or self.default_model)
        if served is None:
            raise UnknownModelError(
                f"model: {shown(model)} is not served here; served are: {', '.join(sorted(self.models))}"
            )
        if AT in variant and (found := served.addresses.get(variant)) is not None:
            return found[0]
        return served

    def versions(self) -> Iterator[ServedModel]:
        """Every version that still has model processes."""
        for loaded in self.loaded.values():
            yield from loaded.values()
        yield from self.leaving

    def open_call(self, served: ServedModel, variant: str, routing_key: str, request_id: str) -> Call:
        """Route a decoded request.

        Raises:
            UnknownModelError: the named variant is not served.
            DrainingError: the server is going away.
        """
        if self.draining:
            raise DrainingError("the server is shutting down; try another one, or again later")
        address, reason = served.router.route(variant, routing_key)
        target, name = served.addresses[address]
        call = Call(target, name, reason, request_id or f"{self._id_prefix}{next(self._ids):x}")
        if request_id or self._receipts is None:
            call.receipt = None
        self._tell(call)
        return call

    def run(
        self,
        call: Call,
        data: Buffer,
        datatype: Form,
        count: int,
        on_done: Callable[[Call], None],
        deadline_ns: int = 0,
        peer: str = "",
    ) -> None:
        """Queue the call; ``on_done(call)`` follows once, perhaps before this returns, with ``call.job`` complete.

        ``peer`` is whoever shares the variant with the others, turn by turn.

        If ``on_done`` raises, it is called once more, with ``call.job.error`` set: a caller hears of every request.
        """
        call.on_done = on_done
        job = call.job = Job(data, datatype, count, self._finish, deadline_ns, call, peer)
        try:
            call.served.channels[call.variant].submit(job)
        except TwinserveError as error:
            job.fail(error)

    def abandon(self, call: Call, error: TwinserveError) -> None:
        """The caller is gone, ``error`` says why: what has not started of the call will not run."""
        if call.job is not None and call.job.pending and not call.job.cancelled:
            call.job.cancel()
            # Nobody is told any more; parted, call, job and pixels go without waiting for the collector of cycles.
            call.job.owner = call.owner = None
            self._end(call, error)

    def judge(self, request_id: str, labels: Sequence[int]) -> Judgement:
        """Labels for an earlier answer of this gateway; errors as :meth:`FeedbackStore.judge`."""
        judgement = self._feedback.judge(request_id, labels)
        self._tell(judgement)
        return judgement

    def knows(self, request_id: str) -> bool:
        """Whether this gateway answered ``request_id`` and still remembers it."""
        return self._feedback.knows(request_id)

    def receipt_of(self, request_id: str) -> Receipt | None:
        """The answer that is signed into ``request_id``; None: none is. Errors as :meth:`Receipts.read`."""
        if self._receipts is None:
            return None
        return self._receipts.read(request_id, [served.version for served in self.versions()])

    def count(self, judgement: Judgement) -> None:
        """Count the judgement of an answer, whichever server gave it."""
        self._tell(judgement)

    def set_policy(self, model: str, policy: TrafficPolicy) -> None:
        """Put a traffic policy in force."""
        self.find(model).router.set_policy(policy)

    def tick(self) -> None:
        """Housekeeping of every channel, a few times a second."""
        now_ns = time.monotonic_ns()
        for served in self.versions():
            for channel in served.channels.values():
                channel.tick(now_ns)

    def _finish(self, job: Job) -> None:
        call: Call = job.owner
        # Call and job know each other; parted, they go without waiting for the collector of cycles.
        job.owner = None
        on_done = call.on_done
        assert on_done is not None
        try:
            if job.error is None:
                if 0 < job.deadline_ns < time.monotonic_ns():
                    # Its caller has given up by now: an answer would count as good what nobody received.
                    job.error = DeadlineError("the deadline passed while the request ran")
                else:
                    if self._receipts is not None and call.receipt is not None and call.served.version.classes:
                        call.receipt = self._receipts.sign(
                            call.request_id, call.served.version, call.variant, job.classes
                        )
                    if not call.receipt:
                        self._remember(call, job)
            self._end(call, job.error)
            on_done(call)
        except Exception as error:
            log.exception("request %s: its answer could not be given", call.request_id)
            call.error = job.error = TwinserveError(f"the answer could not be given ({type(error).__name__}: {error})")
            call.state = "refused"
            on_done(call)
        if job.error is None:
            self._maybe_shadow(call, job)

    def _remember(self, call: Call, job: Job) -> None:
        version = call.served.version
        self._feedback.remember(
            call.request_id, version.model, version.version, call.variant, version.classes, job.classes
        )

    def _maybe_shadow(self, call: Call, first: Job) -> None:
        served, primary = call.served, call.variant
        address = served.router.draw_shadow(primary)
        if address is None or (target := served.addresses.get(address)) in (None, (served, primary)):
            return
        assert target is not None
        shadowing, name = target
        channel = shadowing.channels[name]
        shadow = Call(shadowing, name, "shadow", call.request_id, primary=call)
        # A shadow takes only what nobody else wants: no queue of its own, none of the primary's.
        if not channel.ready or len(channel.queue) or len(served.channels[primary].queue) or channel.images_in_flight:
            self._drop(shadow)
            return
        shadow.job = Job(first.data, first.datatype, first.count, self._finish_shadow, owner=shadow)
        try:
            channel.submit(shadow.job)
        except QueueFullError:
            self._drop(shadow)

    def _finish_shadow(self, job: Job) -> None:
        shadow: Call = job.owner
        job.owner = None
        self._end(shadow, job.error)

    def _end(self, call: Call, error: TwinserveError | None) -> None:
        call.total_ns = time.monotonic_ns() - call.started_ns
        call.error = error
        call.state = "answered" if error is None else "refused"
        self._tell(call)

    def _drop(self, shadow: Call) -> None:
        shadow.state = "dropped"
        self._tell(shadow)

    def _tell(self, event: Call | Judgement) -> None:
        for hook in self._hooks:
            hook(event)
