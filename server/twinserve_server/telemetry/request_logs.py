"""The access log: one line an RPC, and one a request on a stream, at log level debug."""

from __future__ import annotations

import random
from typing import Any

import structlog

from twinserve_server.engine.engine import Call
from twinserve_server.telemetry.journal import RpcRecord

log = structlog.get_logger()


class AccessLog:
    """Writes a line for every RPC that fails and for a share of those that go well."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._random = random.Random()  # noqa: S311  (a sample, not a secret)

    def rpc_began(self, record: RpcRecord) -> None:
        """See ``RpcListener``."""

    def rpc_ended(self, record: RpcRecord, code: str, seconds: float) -> None:
        """Log the RPC, with its request when it has exactly one."""
        if self._sampled(code):
            fields = request_fields(record.calls[0]) if len(record.calls) == 1 else {}
            rpc = f"{record.service}/{record.method}"
            log.debug(
                "rpc", rpc=rpc, code=code, peer=record.peer, ms=_ms(seconds * 1e9), **trace_fields(record), **fields
            )

    def call_ended(self, record: RpcRecord, call: Call, code: str) -> None:
        """Log a request on a stream: the line of the RPC cannot tell about many."""
        if record.streaming and self._sampled(code):
            log.debug("request", code=code, peer=record.peer, **trace_fields(record), **request_fields(call))

    def _sampled(self, code: str) -> bool:
        return code != "OK" or self._random.random() < self._share


def request_fields(call: Call) -> dict[str, Any]:
    """What a line tells about a request: who answered it, and where its time went, in milliseconds."""
    fields: dict[str, Any] = {
        "request_id": call.request_id,
        "model": call.served.version.model,
        "variant": call.variant,
        "route": call.route,
    }
    job = call.job
    if job is not None:
        fields |= {
            "images": job.count,
            "batch": job.batch_size,
            "total_ms": _ms(call.total_ns),
            "queue_ms": _ms(job.queue_ns),
            "transfer_ms": _ms(job.transfer_ns),
            "preprocess_ms": _ms(job.preprocess_ns),
            "inference_ms": _ms(job.inference_ns),
            "postprocess_ms": _ms(job.postprocess_ns),
        }
    return fields


def trace_fields(record: RpcRecord) -> dict[str, str]:
    """The trace that the RPC belongs to, if it does."""
    return {} if record.span is None else {"trace_id": f"{record.span.get_span_context().trace_id:032x}"}


def _ms(nanoseconds: float) -> float:
    return round(nanoseconds / 1e6, 3)
