"""State shared by the users of one Locust process: where to send, what to send, and the current block."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event

from twinserve_client import CallError, Client
from twinserve_loadtest.generate.run import BlockRun

if TYPE_CHECKING:
    from locust.env import Environment

    from twinserve_loadtest.generate.schedule import Share
    from twinserve_loadtest.generate.spec import BlockSpec
    from twinserve_loadtest.record.testset import TestSet
    from twinserve_loadtest.target.servers import Servers

CONNECT_SECONDS = 5.0
START_SECONDS = 30.0
"""A block begins without the users that are not warm after this."""


@dataclass(slots=True)
class Session:
    """One per Locust environment; see :func:`attach`."""

    servers: Servers
    """Where to send; they take turns."""
    test_set: TestSet
    model: str | None = None
    """None: the server's default model."""
    run: BlockRun | None = None
    """The block that is on, or the last one."""
    _changed: Event = field(default_factory=Event)

    def connect(self) -> list[Client]:
        """A connection to each server, opened now so that no block pays for it."""
        clients = []
        for server in self.servers:
            # No retries: every failed attempt must be visible.
            client = Client(server.address, model=self.model, timeout=CONNECT_SECONDS, retries=0, tls=server.tls)
            # An unreachable server appears in the block's record, as failures by status.
            with contextlib.suppress(CallError):
                client.describe_model()
            clients.append(client)
        return clients

    def begin_block(self, spec: BlockSpec, share: Share, users: int) -> BlockRun:
        """Put the users of this process to work on ``spec``; returns at once."""
        run = BlockRun(spec, self.test_set, share, users, [server.address for server in self.servers])
        if users == 0:
            run.end()
        gevent.spawn_later(START_SECONDS, run.begin)
        self.run, changed, self._changed = run, self._changed, Event()
        changed.set()
        return run

    def wait_for_block(self, after: BlockRun | None) -> BlockRun:
        """The block that is on, once it is another than ``after``."""
        while self.run is None or self.run is after:
            self._changed.wait()
        return self.run


def attach(session: Session, environment: Environment) -> None:
    """Make ``session`` the one that the users of ``environment`` share."""
    environment.twinserve = session  # type: ignore[attr-defined]


def session_of(environment: Environment) -> Session:
    """The session of ``environment``."""
    session: Session = environment.twinserve  # type: ignore[attr-defined]
    return session
