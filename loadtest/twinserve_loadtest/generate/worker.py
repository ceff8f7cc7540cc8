"""The load generator's own process: ``python -m twinserve_loadtest.generate.worker``.

Importing Locust replaces Python's sockets and threads with gevent's. To keep this away from other code, Locust runs
here, as a library, and :class:`twinserve_loadtest.generate.generator.LoadGenerator` talks to it in JSON lines: orders
on standard input, progress and records on standard output. The process ends when its input does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import gevent
from gevent.fileobject import FileObject
from gevent.queue import Queue
from locust.env import Environment

from twinserve_loadtest.generate.schedule import Share
from twinserve_loadtest.generate.session import Session, attach
from twinserve_loadtest.generate.spec import BlockSpec
from twinserve_loadtest.generate.users import TwinUser
from twinserve_loadtest.record.testset import load_test_set
from twinserve_loadtest.record.wire import from_plain, to_plain
from twinserve_loadtest.target.servers import Server

PROGRESS_SECONDS = 0.25
SPAWN_SECONDS = 30.0


class Worker:
    """Answers the orders of one generator, one after another."""

    def __init__(self, session: Session, orders: Any, answers: Any) -> None:
        self._session = session
        self._orders = orders
        self._answers = answers
        self._environment = Environment(user_classes=[TwinUser])
        attach(session, self._environment)
        self._runner = self._environment.create_local_runner()
        self._environment.events.user_error.add_listener(self._user_failed)  # type: ignore[no-untyped-call]

    def serve(self) -> None:
        """Until the orders end, also in the middle of a block."""
        waiting: Queue[bytes] = Queue()
        ended = gevent.spawn(self._read, waiting)
        self._tell(ready=True)
        try:
            while line := waiting.get():
                block = gevent.spawn(self._run, from_plain(BlockSpec, json.loads(line)))
                gevent.wait([block, ended], count=1)
                if not block.ready():
                    return
                block.get()
        finally:
            if self._session.run is not None:
                self._session.run.end("interrupted")
            self._runner.quit()

    def _read(self, waiting: Queue[bytes]) -> None:
        for line in self._orders:
            waiting.put(line)
        waiting.put(b"")

    def _run(self, spec: BlockSpec) -> None:
        runner = self._runner
        if runner.user_count != spec.users:
            # Locust changes at most spawn_rate users per second, also downwards; here all at once.
            runner.start(spec.users, spawn_rate=max(spec.users, runner.user_count))
            assert runner.spawning_greenlet is not None
            runner.spawning_greenlet.join(SPAWN_SECONDS)
        run = self._session.begin_block(spec, Share(), spec.users)
        while not run.finished.wait(PROGRESS_SECONDS):
            self._tell(progress={"requests": run.record.requests, "seconds": run.elapsed()})
        self._tell(record=to_plain(run.snapshot()))

    def _user_failed(self, exception: BaseException, **_: object) -> None:
        if self._session.run is not None:
            self._session.run.end(f"the generator failed: {type(exception).__name__}: {exception}")

    def _tell(self, **message: Any) -> None:
        self._answers.write(json.dumps(message).encode() + b"\n")
        self._answers.flush()


def main() -> None:
    """Read the first line (servers, model, test set), then serve."""
    with contextlib.suppress(OSError):  # Linux rounds a thread's wake-ups to 50 µs by default
        Path("/proc/self/timerslack_ns").write_text("1000")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends our input
    orders = FileObject(os.dup(0), "rb")
    answers = FileObject(os.dup(1), "wb")
    os.dup2(2, 1)  # printed text must not mix with the answers
    first = json.loads(orders.readline())
    servers = [from_plain(Server, server) for server in first["servers"]]
    session = Session(servers, load_test_set(Path(first["test_set"])), first["model"])
    Worker(session, orders, answers).serve()


if __name__ == "__main__":
    main()
