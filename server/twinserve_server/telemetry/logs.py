"""Logging with structlog: readable on a terminal, or as JSON."""

from __future__ import annotations

import atexit
import logging
import os
from typing import TextIO, cast

from twinserve_server.host.standard_error import StandardError, protect_standard_error
from twinserve_server.structured_log import structlog


def configure_logging(form: str, level: str, **bound: str) -> StandardError:
    """Set up logging to standard error, which from now on neither raises nor blocks.

    Args:
        form: ``console`` or ``json``.
        level: ``debug``, ``info``, ``warning`` or ``error``.
        bound: fields that every line has.

    Returns:
        The stream that the log is written to, which counts dropped lines.
    """
    output = protect_standard_error()
    atexit.register(output.finish)
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=output.isatty() or "FORCE_COLOR" in os.environ)
    )
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, output)),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**bound)
    # The engine, asyncio and the libraries use the standard library's logging: same format, same destination.
    handler = logging.StreamHandler(cast(TextIO, output))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    return output
