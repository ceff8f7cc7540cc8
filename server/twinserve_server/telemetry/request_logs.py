"""The access log: a line per RPC and per request on a stream, at log level debug."""

from __future__ import annotations

import random
from typing import Any

from twinserve_server.engine.call import Call
from twinserve_server.engine.job import STAGES
from twinserve_server.structured_log import structlog
from twinserve_server.telemetry.journal import RpcRecord, code_of

log = structlog.get_logger()


class AccessLog:
    """Writes a line for every RPC that fails and for a share of those that succeed."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._random = random.Random()  # noqa: S311  (a sample, not a secret)

    def __call__(self, record: RpcRecord, call: Call | None) -> None:
        """Log an RPC that has ended, with its request when it has exactly one; of a stream, each request as well."""
        if call is not None:
            # The RPC's line cannot describe several requests.
            if record.method.request_streaming and self._sampled(code := code_of(call)):
                log.debug("request", code=code, peer=record.peer, **trace_fields(record), **request_fields(call))
        elif record.code and self._sampled(record.code):
            log.debug(
                "rpc",
                rpc=f"{record.method.service}/{record.method.name}",
                code=record.code,
                peer=record.peer,
                ms=_ms(record.seconds * 1e9),
                **trace_fields(record),
                **(request_fields(record.calls[0]) if len(record.calls) == 1 else {}),
            )

    def _sampled(self, code: str) -> bool:
        return code != "OK" or self._random.random() < self._share


def request_fields(call: Call) -> dict[str, Any]:
    """The fields of a request: what answered it, and how long each stage took, in milliseconds."""
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
            **{f"{stage}_ms": _ms(getattr(job, f"{stage}_ns")) for stage in STAGES},
        }
    return fields


def trace_fields(record: RpcRecord) -> dict[str, str]:
    """The trace that the RPC belongs to, if any."""
    return {} if record.span is None else {"trace_id": f"{record.span.get_span_context().trace_id:032x}"}


def _ms(nanoseconds: float) -> float:
    return round(nanoseconds / 1e6, 3)
