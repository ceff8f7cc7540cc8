"""Blocks of load under Locust's own command line: in one process, or over a master and its workers.

The master tells each worker its share of a block in a message; a worker sends what it has counted so far
with every report that Locust makes (``report_to_master``). Each report replaces the one before, so a lost
or repeated one does no harm, and the last ones of all workers add up to the block exactly.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gevent
import locust.runners
from locust.runners import STATE_MISSING, STATE_RUNNING, MasterRunner, WorkerRunner

from twinserve_loadtest.generate.record import BlockRecord, merged
from twinserve_loadtest.generate.schedule import Share
from twinserve_loadtest.generate.session import session_of
from twinserve_loadtest.generate.spec import BlockSpec
from twinserve_loadtest.record.measurement import Model
from twinserve_loadtest.record.testset import TestSetError, fit_to_model
from twinserve_loadtest.record.wire import from_plain, to_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from twinserve_loadtest.generate.run import BlockRun
    from twinserve_loadtest.record.testset import TestSet

MESSAGE = "twinserve_block"
REPORT = "twinserve"
REPORT_SECONDS = 1.0
POLL_SECONDS = 0.1
SPAWN_SECONDS = 60.0
CUT_OFF_SECONDS = 2.0
"""How long a master waits for the last reports of a block that was cut off."""


class BlockWorker:
    """A worker's side: works on the master's blocks and reports."""

    def __init__(self, environment: Environment) -> None:
        self._session = session_of(environment)
        self._loaded = self._session.test_set
        self._id = 0
        self._run: BlockRun | None = None
        runner = environment.runner
        assert isinstance(runner, WorkerRunner)
        self._runner = runner
        # Locust's three seconds between reports would be three seconds of rest after every block.
        locust.runners.WORKER_REPORT_INTERVAL = REPORT_SECONDS
        runner.register_message(MESSAGE, self._begin)
        environment.events.report_to_master.add_listener(self._report)  # type: ignore[no-untyped-call]
        environment.events.test_stopping.add_listener(self._stop)  # type: ignore[no-untyped-call]

    def _begin(self, msg: Any, **_: object) -> None:
        order = msg.data
        if order.get("cut_off"):
            self._stop()
            return
        self._id = order["id"]
        with suppress(TestSetError):  # its digest shows that this is not the master's set
            self._session.test_set = fit_to_model(self._loaded, from_plain(Model, order["model"]))
        self._run = self._session.begin_block(
            from_plain(BlockSpec, order["spec"]), Share(*order["share"]), self._runner.user_count
        )
        if order["test_set"] != digest(self._session.test_set):
            self._run.end("a worker has another test set than the master")

    def _report(self, data: dict[str, Any], **_: object) -> None:
        if self._run is not None:
            done = self._run.finished.is_set()
            data[REPORT] = {"id": self._id, "done": done, "record": to_plain(self._run.snapshot())}

    def _stop(self, **_: object) -> None:
        if self._run is not None:
            self._run.end("interrupted")


class LocustBlocks:
    """The master's side, or that of a single process: runs blocks with the users that Locust spawns."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._session = session_of(environment)
        self._loaded = self._session.test_set
        self._model: Model | None = None
        self._id = 0
        self._reports: dict[str, dict[str, Any]] = {}
        self._on = False
        self.wanted_users = 1
        """What the load shape must ask Locust for."""
        self.interrupted = False
        environment.events.worker_report.add_listener(self._reported)  # type: ignore[no-untyped-call]

    @property
    def distributed(self) -> bool:
        """Whether other processes send the requests."""
        return isinstance(self._environment.runner, MasterRunner)

    def send_to(self, model: Model) -> TestSet:
        """From now on the blocks are for ``model``; the test set, as it is sent to it.

        Raises:
            TestSetError: it does not fit the model.
        """
        self._model = model
        self._session.test_set = fit_to_model(self._loaded, model)
        return self._session.test_set

    def run(self, spec: BlockSpec, on_progress: Callable[[int, float], None] | None = None) -> BlockRecord:
        """Run one block; cut off by :attr:`interrupted`."""
        spec = replace(spec, keep_probabilities=False)
        if not self._spawned(spec.users):
            return BlockRecord(spec, aborted="interrupted" if self.interrupted else "Locust spawned no users")
        self._id += 1
        self._reports = {}
        self._on = True
        try:
            if self.distributed:
                return self._distributed(spec, on_progress)
            return self._local(spec, on_progress)
        finally:
            self._on = False

    def live(self) -> BlockRecord | None:
        """The block that is on, as far as it is known here; None between blocks."""
        if not self._on:
            return None
        if self.distributed:
            return self._merged_reports()
        return self._session.run.snapshot() if self._session.run is not None else None

    def _local(self, spec: BlockSpec, on_progress: Callable[[int, float], None] | None) -> BlockRecord:
        run = self._session.begin_block(spec, Share(), spec.users)
        while not run.finished.wait(POLL_SECONDS):
            if self.interrupted:
                run.end("interrupted")
            elif on_progress is not None:
                on_progress(run.record.requests, run.elapsed())
        return run.snapshot()

    def _merged_reports(self) -> BlockRecord | None:
        records = [from_plain(BlockRecord, report["record"]) for report in self._reports.values()]
        return merged(records, parallel=True) if records else None

    def _spawned(self, users: int) -> bool:
        self.wanted_users = users
        runner = self._environment.runner
        assert runner is not None
        deadline = time.monotonic() + SPAWN_SECONDS
        while runner.user_count != users or runner.state != STATE_RUNNING:
            if self.interrupted or time.monotonic() > deadline:
                return False
            gevent.sleep(POLL_SECONDS)
        return True

    def _distributed(self, spec: BlockSpec, on_progress: Callable[[int, float], None] | None) -> BlockRecord:
        runner = self._environment.runner
        assert isinstance(runner, MasterRunner)
        at_work = [client.id for client in runner.clients.all if client.user_count > 0]
        test_set = digest(self._session.test_set)
        for index, client in enumerate(at_work):
            order = {
                "id": self._id,
                "spec": to_plain(spec),
                "share": [index, len(at_work)],
                "test_set": test_set,
                "model": to_plain(self._model),
            }
            runner.send_message(MESSAGE, order, client)
        began, cut_off, lost = time.monotonic(), 0.0, ""
        waiting = set(at_work)
        while waiting:
            gevent.sleep(POLL_SECONDS)
            waiting = {client for client in waiting if not self._reports.get(client, {}).get("done")}
            if self.interrupted:
                if not cut_off:
                    cut_off = time.monotonic()
                    runner.send_message(MESSAGE, {"cut_off": True})
                if time.monotonic() - cut_off > CUT_OFF_SECONDS:
                    break
            else:
                gone = {client for client in waiting if self._gone(runner, client)}
                waiting -= gone
                lost = lost or ("a Locust worker was lost" if gone else "")
                if on_progress is not None:
                    requests = sum(_requests(report) for report in self._reports.values())
                    on_progress(requests, time.monotonic() - began)
        total = self._merged_reports() or BlockRecord(spec)
        total.aborted = total.aborted or lost or ("interrupted" if waiting else "")
        return total

    def _reported(self, client_id: str, data: dict[str, Any], **_: object) -> None:
        report = data.get(REPORT)
        if report is not None and report["id"] == self._id:
            self._reports[client_id] = report

    @staticmethod
    def _gone(runner: MasterRunner, client: str) -> bool:
        node = runner.clients.get(client)
        return node is None or node.state == STATE_MISSING


def digest(test_set: TestSet) -> str:
    """Tells whether two processes have the same images and labels."""
    arrays = [test_set.images, test_set.labels, *(test_set.inputs or {}).values()]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def _requests(report: dict[str, Any]) -> int:
    return sum(sum(tally["codes"].values()) for tally in report["record"]["tallies"].values())
