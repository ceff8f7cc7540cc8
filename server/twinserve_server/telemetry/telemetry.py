"""A gateway's telemetry: metrics, slow requests, every RPC at log level debug, and traces if they are on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_server.engine.engine import Hook
from twinserve_server.ipc.process_config import GatewayConfig
from twinserve_server.metrics.exemplars import ExemplarBook
from twinserve_server.metrics.recorder import Recorder
from twinserve_server.metrics.slab import Slab
from twinserve_server.telemetry.journal import Journal, RpcHook
from twinserve_server.telemetry.request_logs import AccessLog
from twinserve_server.telemetry.slow_requests import SlowRequests

if TYPE_CHECKING:
    from twinserve_server.telemetry.tracing import Tracing


class Telemetry:
    """One gateway's metrics, request logs and traces, as configured.

    Attributes:
        recorder: counts.
        hooks: the engine's.
        journal: of RPCs, while somebody tells about single ones.
    """

    def __init__(self, config: GatewayConfig) -> None:
        settings = config.settings
        book = ExemplarBook(config.exemplars_fd) if config.exemplars_fd >= 0 else None
        self.recorder = Recorder(Slab(config.slab_fd), config.name, book)
        self.hooks: list[Hook] = [self.recorder]
        self.journal: Journal | None = None
        self._tracing: Tracing | None = None
        rpc_hooks: list[RpcHook] = []
        if settings.tracing != "off":
            # OpenTelemetry is an extra, and a gateway without it is smaller.
            from twinserve_server.telemetry.tracing import Tracing  # noqa: PLC0415

            self._tracing = Tracing(settings.tracing, settings.trace_share, config.name, self.recorder)
            rpc_hooks.append(self._tracing)
        if settings.log_level == "debug":
            rpc_hooks.append(AccessLog(settings.access_log_share))
        if settings.slow_request_ms:
            # Before the journal, which separates an ended call from its RPC, and so from its trace.
            self.hooks.append(SlowRequests(int(settings.slow_request_ms * 1e6)))
        if rpc_hooks:
            self.journal = Journal(rpc_hooks)
            self.hooks.append(self.journal.on_calls)

    def close(self) -> None:
        """Send what has not been sent."""
        if self._tracing is not None:
            self._tracing.close()
