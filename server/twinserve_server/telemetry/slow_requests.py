"""Logs requests that take longer than a limit, with the time of each stage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from twinserve_server.engine.call import Call
from twinserve_server.engine.feedback import Judgement
from twinserve_server.structured_log import structlog
from twinserve_server.telemetry.journal import code_of
from twinserve_server.telemetry.request_logs import request_fields, trace_fields

log = structlog.get_logger()

#: Lines per second and gateway: overload must not cause a flood of lines as well.
SLOW_LINES_A_SECOND: Final = 10


class SlowRequests:
    """A hook that logs the stage split of every request that takes longer than a limit."""

    def __init__(self, limit_ns: int) -> None:
        self._limit_ns = limit_ns
        self._second = 0
        self._lines = 0

    def __call__(self, event: Sequence[Call] | Judgement) -> None:
        """Log the calls that have ended and were slow."""
        if not isinstance(event, Judgement):
            for call in event:
                if call.total_ns > self._limit_ns:
                    self._tell(call)

    def _tell(self, call: Call) -> None:
        second = int(time.monotonic())
        if second != self._second:
            if self._lines > SLOW_LINES_A_SECOND:
                log.warning("slow_requests_untold", requests=self._lines - SLOW_LINES_A_SECOND)
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= SLOW_LINES_A_SECOND:
            trace = {} if call.note is None else trace_fields(call.note)
            log.warning("slow_request", code=code_of(call), **trace, **request_fields(call))
