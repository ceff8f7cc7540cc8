"""The Locust user: sends the test set's images to the service through the SDK's blocking client.

Importing this module makes gRPC work with gevent, which must happen before the first channel opens.
Each user has connections of its own, one to each server, which take turns: users that shared one would measure one
HTTP/2 connection.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import gevent
from grpc.experimental import gevent as grpc_gevent
from locust import User, constant, task

from twinserve_client import CallError
from twinserve_loadtest.generate.session import session_of
from twinserve_loadtest.generate.spec import ROUTED

if TYPE_CHECKING:
    from locust.env import Environment

    from twinserve_client import Client
    from twinserve_loadtest.generate.run import BlockRun, Request

grpc_gevent.init_gevent()

FAILURE_PAUSE_SECONDS = 0.05
"""After a failure, so that a closed loop does not spin on a server that is gone."""
SPARE_THREADS = 8
"""gRPC waits for answers in gevent's thread pool; one thread a user and some for others."""


class TwinUser(User):
    """One caller of the Predict service.

    Its one task is to take part in the next block: as many requests as the block has for it.
    """

    host = "127.0.0.1:8500"
    wait_time = constant(0)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.session = session_of(environment)
        self.clients: list[Client] = []
        self._last: BlockRun | None = None

    def on_start(self) -> None:
        """Open this user's connections."""
        pool = gevent.get_hub().threadpool
        pool.maxsize = max(pool.maxsize, self.environment.runner.target_user_count + SPARE_THREADS)
        self.clients = self.session.connect()

    def on_stop(self) -> None:
        """Close the connections."""
        for client in self.clients:
            client.close()

    @task
    def take_part(self) -> None:
        """Warm up, wait for the others, and send until the block has no more requests."""
        run = self._last = self.session.wait_for_block(self._last)
        for client in self.clients:
            self._warm_up(client, run)
        try:
            run.join()
            while (request := run.next_request()) is not None:
                self._send(self.clients[request.server], run, request)
        finally:
            run.leave()

    def _warm_up(self, client: Client, run: BlockRun) -> None:
        spec = run.spec
        for number in range(spec.warm_up):
            run.record.warm_ups += 1
            try:
                client.predict(**run.warm_up_request(number).tensors, variant=spec.variant, timeout=spec.timeout)
            except CallError:
                return

    def _send(self, client: Client, run: BlockRun, request: Request) -> None:
        spec = run.spec
        wait = request.due - run.elapsed()
        if wait > 0:
            gevent.sleep(wait)
        wall = time.time()
        since = run.sending(request, waited=wait > 0)
        error: CallError | None = None
        name = spec.variant or ""
        try:
            prediction = client.predict(**request.tensors, variant=spec.variant, timeout=spec.timeout)
        except CallError as failure:
            error = failure
            latency_us = run.failed(request, since, failure.code.name)
        else:
            name = run.name_of(prediction)
            latency_us = run.answered(request, since, prediction)
        self.environment.events.request.fire(
            request_type=spec.mode,
            name=name or ROUTED,
            response_time=latency_us / 1000,
            response_length=0,
            exception=error,
            context={},
            start_time=wall,
        )
        if error is not None:
            gevent.sleep(FAILURE_PAUSE_SECONDS)
