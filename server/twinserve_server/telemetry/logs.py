"""Logs with structlog: for people on a terminal, as JSON for machines."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging(form: str, level: str, **bound: str) -> None:
    """Log to standard error.

    Args:
        form: ``console`` or ``json``.
        level: ``debug``, ``info``, ``warning`` or ``error``.
        bound: fields that every line carries.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**bound)
