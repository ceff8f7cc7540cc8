"""The engine's entry point, called by every transport. Single-threaded by contract; knows no wire format."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import reduce

from twinserve_server.engine.address import AT
from twinserve_server.engine.amount import Amount
from twinserve_server.engine.call import Call
from twinserve_server.engine.channel import ModelChannel
from twinserve_server.engine.feedback import FeedbackStore, Judgement
from twinserve_server.engine.job import Buffer, Job
from twinserve_server.engine.layout import Form
from twinserve_server.engine.receipts import Receipt, Receipts
from twinserve_server.engine.router import TrafficPolicy
from twinserve_server.engine.served import ServedModel
from twinserve_server.engine.shadows import Shadows
from twinserve_server.errors import (
    DeadlineError,
    DrainingError,
    TwinserveError,
    UnknownModelError,
    shown,
)

log = logging.getLogger(__name__)

#: Called with the calls of one variant that were routed or ended together, and with every judgement.
Hook = Callable[[Sequence[Call] | Judgement], None]


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
        #: The active version of each model, all loaded versions, and those that only finish their requests.
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
        self._shadows = Shadows(self._tell)

    @property
    def ready(self) -> bool:
        """Whether every variant of every loaded version has a warm model process."""
        return all(served.ready for versions in self.loaded.values() for served in versions.values())

    @property
    def routable(self) -> bool:
        """Whether every variant that requests without a variant are routed to has a warm model process."""
        return all(served.live_ready for served in self.models.values())

    @property
    def least_bounds(self) -> Amount:
        """What may wait for any variant."""
        bounds = (
            channel.queue.policy.bounds for served in self.models.values() for channel in served.channels.values()
        )
        return reduce(Amount.least, bounds)

    def find(self, model: str, variant: str = "") -> ServedModel:
        """The version of a model that answers for ``variant``; an empty model means the default.

        Raises:
            UnknownModelError: the model is not served here.
        """
        served = self.models.get(model or self.default_model)
        if served is None:
            raise UnknownModelError(
                f"model: {shown(model)} is not served here; served are: {', '.join(sorted(self.models))}"
            )
        if AT in variant and (found := served.addresses.get(variant)) is not None:
            return found[0]
        return served

    def find_version(self, model: str, version: str) -> ServedModel:
        """A loaded version of a model; the active one if ``version`` is empty.

        Raises:
            UnknownModelError: the model is not served here, or that version of it is not loaded.
        """
        active = self.find(model)
        name = active.version.model
        served = self.loaded[name].get(version) if version else active
        if served is None:
            raise UnknownModelError(
                f"version: {shown(version)} of {name} is not loaded; loaded are: {', '.join(sorted(self.loaded[name]))}"
            )
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
            DrainingError: the server is shutting down.
        """
        call = self._route(served, variant, routing_key, request_id)
        self._tell((call,))
        return call

    def _route(self, served: ServedModel, variant: str, routing_key: str, request_id: str, started_ns: int = 0) -> Call:
        if self.draining:
            raise DrainingError("the server is shutting down; try another one, or try again later")
        address, reason = served.router.route(variant, routing_key)
        target, name = served.addresses[address]
        call = Call(target, name, reason, request_id or f"{self._id_prefix}{next(self._ids):x}", None, started_ns)
        if request_id or self._receipts is None:
            call.receipt = None
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
        """Queue the call; ``on_done(call)`` is called once, perhaps before this returns, with ``call.job`` complete.

        ``peer`` identifies the caller: callers share the variant in turn.

        If ``on_done`` raises, it is called again with ``call.job.error`` set, so that every request gets an outcome.
        """
        call.on_done = on_done
        job = call.job = Job(data, datatype, count, self._finish, deadline_ns, call, peer)
        try:
            call.served.channels[call.variant].submit(job)
        except TwinserveError as error:
            job.fail(error)

    def prepare(
        self,
        served: ServedModel,
        variant: str,
        data: Buffer,
        datatype: Form,
        count: int,
        on_done: Callable[[Call], None],
        deadline_ns: int,
        peer: str,
        now_ns: int,
    ) -> Call:
        """What :meth:`open_call` and :meth:`run` do, up to the queue; :meth:`start` follows.

        ``now_ns`` is when it arrived. Raises as :meth:`open_call`.
        """
        call = self._route(served, variant, "", "", now_ns)
        call.on_done = on_done
        call.job = Job(data, datatype, count, self._finish, deadline_ns, call, peer)
        return call

    def start(self, calls: Sequence[Call]) -> None:
        """Queue requests that arrived together, each from :meth:`prepare`; their ends are told as by :meth:`run`."""
        groups: dict[ModelChannel, list[Call]] = {}
        for call in calls:
            groups.setdefault(call.served.channels[call.variant], []).append(call)
        for channel, group in groups.items():
            self._tell(group)
            channel.submit_all([call.job for call in group if call.job is not None])

    def abandon(self, call: Call, error: TwinserveError) -> None:
        """The caller has gone, for the reason in ``error``: what has not started of the call will not run."""
        if call.job is not None and call.job.pending and not call.job.cancelled:
            call.job.cancel()
            # No caller is waiting; breaking the cycle frees call, job and pixels without the garbage collector.
            call.job.owner = call.owner = None
            call.end(error, time.monotonic_ns())
            self._tell((call,))

    def judge(self, request_id: str, labels: Sequence[int]) -> Judgement:
        """Judge an earlier answer of this gateway by its labels; raises as :meth:`FeedbackStore.judge` does."""
        judgement = self._feedback.judge(request_id, labels)
        self._tell(judgement)
        return judgement

    def knows(self, request_id: str) -> bool:
        """Whether this gateway answered ``request_id`` and still remembers it."""
        return self._feedback.knows(request_id)

    def receipt_of(self, request_id: str) -> Receipt | None:
        """The answer signed into ``request_id``; None if there is none. Raises as :meth:`Receipts.read` does."""
        if self._receipts is None:
            return None
        return self._receipts.read(request_id, [served.version for served in self.versions()])

    def count(self, judgement: Judgement) -> None:
        """Count the judgement of an answer from any server."""
        self._tell(judgement)

    def set_policy(self, model: str, policy: TrafficPolicy) -> None:
        """Put a traffic policy in force."""
        self.find(model).router.set_policy(policy)

    def tick(self) -> None:
        """Housekeeping of every channel, several times a second."""
        now_ns = time.monotonic_ns()
        for served in self.versions():
            for channel in served.channels.values():
                channel.tick(now_ns)

    def _finish(self, jobs: Sequence[Job]) -> None:
        now_ns = time.monotonic_ns()
        answered: list[Call] = []
        refused: list[Call] = []
        for job in jobs:
            call: Call = job.owner
            # Call and job refer to each other; breaking the cycle frees them without the garbage collector.
            job.owner = None
            try:
                self._settle(call, job, now_ns)
            except Exception as error:
                log.exception("request %s: its answer could not be delivered", call.request_id)
                self._spoil(call, error)
            (answered if call.error is None else refused).append(call)
        for calls in (answered, refused):
            if calls:
                self._conclude(calls)

    def _settle(self, call: Call, job: Job, now_ns: int) -> None:
        if job.error is None:
            if 0 < job.deadline_ns < now_ns:
                # Its caller has given up: an answer that nobody receives must not count as good.
                job.error = DeadlineError("the deadline passed while the request ran")
            else:
                version = call.served.version
                if self._receipts is not None and call.receipt is not None and version.labels:
                    call.receipt = self._receipts.sign(call.request_id, version, call.variant, job.classes)
                if not call.receipt:
                    self._feedback.remember(
                        call.request_id, version.model, version.version, call.variant, version.classes, job.classes
                    )
        call.end(job.error, now_ns)

    def _conclude(self, calls: Sequence[Call]) -> None:
        """Tell hooks and callers of calls that ended alike."""
        try:
            self._tell(calls)
        except Exception as error:
            log.exception(
                "request %s: its answer could not be delivered, nor %d more", calls[0].request_id, len(calls) - 1
            )
            for call in calls:
                self._spoil(call, error)
        for call in calls:
            on_done, job = call.on_done, call.job
            assert on_done is not None
            assert job is not None
            try:
                on_done(call)
            except Exception as error:
                log.exception("request %s: its answer could not be delivered", call.request_id)
                self._spoil(call, error)
                self._tell_again(call, on_done)
            if job.error is None and call.served.router.policy.shadows:
                self._shadows.follow(call, job)

    @staticmethod
    def _tell_again(call: Call, on_done: Callable[[Call], None]) -> None:
        try:
            on_done(call)
        except Exception:
            log.exception("request %s: its end could not be reported", call.request_id)

    def _spoil(self, call: Call, error: Exception) -> None:
        assert call.job is not None
        why = f"the answer could not be delivered ({type(error).__name__}: {error})"
        call.error = call.job.error = TwinserveError(why)
        call.state = "refused"

    def _tell(self, event: Sequence[Call] | Judgement) -> None:
        for hook in self._hooks:
            hook(event)
