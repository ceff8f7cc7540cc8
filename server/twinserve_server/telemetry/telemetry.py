"""What a gateway tells: metrics, slow requests, at log level debug every RPC, and traces when they are on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_server.engine.engine import EngineObserver
from twinserve_server.ipc.process_config import GatewayConfig
from twinserve_server.metrics.exemplars import ExemplarBook
from twinserve_server.metrics.recorder import Recorder
from twinserve_server.metrics.slab import Slab
from twinserve_server.rpc.handler import Interceptor
from twinserve_server.telemetry.journal import JournalInterceptor, RpcListener
from twinserve_server.telemetry.observers import JournalObserver, SlowRequests
from twinserve_server.telemetry.request_logs import AccessLog

if TYPE_CHECKING:
    from twinserve_server.telemetry.tracing import Tracing


class Telemetry:
    """One gateway's metrics, logs of requests, and traces, as its configuration wants them.

    Attributes:
        recorder: counts.
        observer: what the engine tells; the recorder, with what is on around it.
        interceptors: go inside the access interceptor.
    """

    def __init__(self, config: GatewayConfig) -> None:
        settings = config.settings
        book = ExemplarBook(config.exemplars_path) if settings.tracing != "off" else None
        self.recorder = Recorder(Slab(config.slab_path), config.name, book)
        self.observer: EngineObserver = self.recorder
        self.interceptors: list[Interceptor] = []
        self._tracing: Tracing | None = None
        listeners: list[RpcListener] = []
        if settings.tracing != "off":
            # OpenTelemetry is an extra, and a gateway without it is smaller.
            from twinserve_server.telemetry.tracing import Tracing  # noqa: PLC0415

            self._tracing = Tracing(settings.tracing, settings.trace_share, config.name, self.recorder)
            listeners.append(self._tracing)
        if settings.log_level == "debug":
            listeners.append(AccessLog(settings.access_log_share))
        if settings.slow_request_ms:
            self.observer = SlowRequests(self.observer, int(settings.slow_request_ms * 1e6))
        if listeners:
            self.observer = JournalObserver(self.observer, listeners)
            self.interceptors.append(JournalInterceptor(listeners))

    def close(self) -> None:
        """Send what has not been sent."""
        if self._tracing is not None:
            self._tracing.close()
