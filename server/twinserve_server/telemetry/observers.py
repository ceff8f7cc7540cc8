"""Observers of the core that stand around another one, and do more for single requests than count them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import structlog

from twinserve_server.engine.engine import Call, EngineObserver
from twinserve_server.engine.feedback import Judgement
from twinserve_server.errors import TwinserveError
from twinserve_server.rpc.status import status_of
from twinserve_server.telemetry.journal import CURRENT_RPC, RpcListener
from twinserve_server.telemetry.request_logs import request_fields, trace_fields

log = structlog.get_logger()

#: Slow requests of one gateway that get a line each second: overload must not become a flood of lines as well.
SLOW_LINES_A_SECOND: Final = 10


class ObserverAround(EngineObserver):
    """Passes everything on to the observer inside."""

    def __init__(self, inside: EngineObserver) -> None:
        self._inside = inside

    def on_routed(self, call: Call) -> None:
        self._inside.on_routed(call)

    def on_answered(self, call: Call) -> None:
        self._inside.on_answered(call)

    def on_refused(self, call: Call, error: TwinserveError) -> None:
        self._inside.on_refused(call, error)

    def on_shadow_dropped(self, primary: Call, shadow: str) -> None:
        self._inside.on_shadow_dropped(primary, shadow)

    def on_shadow_compared(self, primary: Call, shadow: Call) -> None:
        self._inside.on_shadow_compared(primary, shadow)

    def on_feedback(self, judgement: Judgement) -> None:
        self._inside.on_feedback(judgement)


class SlowRequests(ObserverAround):
    """Logs the stage split of every request that takes longer than a limit."""

    def __init__(self, inside: EngineObserver, limit_ns: int) -> None:
        super().__init__(inside)
        self._limit_ns = limit_ns
        self._second = 0
        self._lines = 0

    def on_answered(self, call: Call) -> None:
        self._inside.on_answered(call)
        if call.total_ns > self._limit_ns:
            self._tell(call, "OK")

    def on_refused(self, call: Call, error: TwinserveError) -> None:
        self._inside.on_refused(call, error)
        if call.total_ns > self._limit_ns:
            self._tell(call, status_of(error).name)

    def _tell(self, call: Call, code: str) -> None:
        second = int(time.monotonic())
        if second != self._second:
            if self._lines > SLOW_LINES_A_SECOND:
                log.warning("slow_requests_untold", requests=self._lines - SLOW_LINES_A_SECOND)
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= SLOW_LINES_A_SECOND:
            trace = {} if call.note is None else trace_fields(call.note)
            log.warning("slow_request", code=code, **trace, **request_fields(call))


class JournalObserver(ObserverAround):
    """Joins the core's calls to the RPC that asked for them, and tells the listeners how they end."""

    def __init__(self, inside: EngineObserver, listeners: Sequence[RpcListener]) -> None:
        super().__init__(inside)
        self._listeners = listeners

    def on_routed(self, call: Call) -> None:
        self._inside.on_routed(call)
        call.note = record = CURRENT_RPC.get()
        if record is not None and not record.streaming:
            record.calls.append(call)

    def on_answered(self, call: Call) -> None:
        self._inside.on_answered(call)
        self._tell(call, "OK")

    def on_refused(self, call: Call, error: TwinserveError) -> None:
        self._inside.on_refused(call, error)
        self._tell(call, status_of(error).name)

    def _tell(self, call: Call, code: str) -> None:
        record, call.note = call.note, None
        # A shadow's run has no RPC that waits for it.
        if record is not None:
            for listener in self._listeners:
                listener.call_ended(record, call, code)
