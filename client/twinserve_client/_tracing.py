"""A client span around every call, if the program traces with OpenTelemetry.

This module is never the first to import OpenTelemetry: a program that traces has imported it already. Spans follow its
RPC conventions, and the W3C context (``traceparent``, ``tracestate``) is sent in the call's metadata.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from twinserve_client._channel import Metadata
from twinserve_client._environment import version
from twinserve_client._target import Target
from twinserve_client.errors import CallError

_ADMIN: Final = frozenset({"GetTraffic", "SetTraffic", "GetStatus"})


class Tracing:
    """Creates client spans for the calls to one target."""

    def __init__(self, api: Any, target: Target) -> None:
        self._api = api
        self._tracer = api.trace.get_tracer("twinserve_client", version())
        self._peer: dict[str, str | int] = {"server.address": target.text}
        if len(target.hosts) == 1:
            self._peer = {"server.address": target.hosts[0].name, "server.port": target.hosts[0].port}

    @classmethod
    def of(cls, target: Target) -> Tracing | None:
        """Tracing for ``target``; None when the program does not trace."""
        if "opentelemetry.trace" not in sys.modules:
            return None
        import opentelemetry.propagate
        import opentelemetry.trace

        return cls(opentelemetry, target)

    @contextmanager
    def span(self, method: str, metadata: Metadata | None) -> Iterator[Metadata]:
        """A span around the block, with the metadata to send; records the outcome when the block ends."""
        trace = self._api.trace
        service = "twinserve.v1.AdminService" if method in _ADMIN else "twinserve.v1.PredictService"
        span = self._tracer.start_span(
            f"{service}/{method}",
            kind=trace.SpanKind.CLIENT,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": method,
                **self._peer,
            },
        )
        carrier: dict[str, str] = {}
        self._api.propagate.inject(carrier, context=trace.set_span_in_context(span))
        try:
            yield (*(metadata or ()), *carrier.items())
        except CallError as error:
            span.set_attribute("rpc.grpc.status_code", error.code.value[0])
            span.set_status(trace.StatusCode.ERROR, error.message)
            raise
        else:
            span.set_attribute("rpc.grpc.status_code", 0)
        finally:
            span.end()
