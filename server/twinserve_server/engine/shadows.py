"""Shadow traffic: answered requests run through a second variant, where nobody has to wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from twinserve_server.engine.call import Call
from twinserve_server.engine.job import Job
from twinserve_server.errors import QueueFullError


class Shadows:
    """Runs and reports the shadows of answered calls."""

    def __init__(self, tell: Callable[[Sequence[Call]], None]) -> None:
        """``tell``: called with each shadow that has ended or was dropped."""
        self._tell = tell

    def follow(self, call: Call, first: Job) -> None:
        """Run the images of an answered call through the variant that its policy draws, if any and if it is idle."""
        served, primary = call.served, call.variant
        address = served.router.draw_shadow(primary)
        if address is None or (target := served.addresses.get(address)) in (None, (served, primary)):
            return
        assert target is not None
        shadowing, name = target
        channel = shadowing.channels[name]
        shadow = Call(shadowing, name, "shadow", call.request_id, primary=call)
        # A shadow uses only idle capacity: it may wait in no queue, neither its own nor the primary's.
        if not channel.ready or len(channel.queue) or len(served.channels[primary].queue) or channel.images_in_flight:
            self._drop(shadow)
            return
        shadow.job = Job(first.data, first.datatype, first.count, self._finish, owner=shadow)
        try:
            channel.submit(shadow.job)
        except QueueFullError:
            self._drop(shadow)

    def _finish(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            shadow: Call = job.owner
            job.owner = None
            shadow.end(job.error, time.monotonic_ns())
            self._tell((shadow,))

    def _drop(self, shadow: Call) -> None:
        shadow.state = "dropped"
        self._tell((shadow,))
