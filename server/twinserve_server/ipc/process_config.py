"""What the supervisor tells each process that it starts: one JSON document on standard input.

An environment variable would not do: Linux takes 128 KiB at most, and a model may have thousands of labels.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from twinserve_server.transport.fast import support

Config = TypeVar("Config")


@dataclass(frozen=True, slots=True)
class ModelProcessConfig:
    """One replica of one variant."""

    name: str
    version: dict[str, Any]
    variant: str
    socket_path: str
    control_fd: int
    slab_path: str
    threads: int = 1
    max_batch_size: int = 64
    preferred_batch_sizes: list[int] = field(default_factory=list)
    batching: bool = True
    cores: list[int] = field(default_factory=list)
    metrics: bool = True

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that must stand before the process starts."""
        return {}


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """How a gateway reaches and batches one variant."""

    socket_paths: list[str]
    max_batch_size: int
    max_queue_delay_us: int
    preferred_batch_sizes: list[int]
    max_queue_images: int
    batching: bool


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """One gateway."""

    name: str
    index: int
    host: str
    port: int
    control_fd: int
    slab_path: str
    exemplars_path: str
    default_model: str
    #: By model: the version, its channels by variant, and its traffic policy.
    versions: dict[str, dict[str, Any]]
    channels: dict[str, dict[str, dict[str, Any]]]
    policies: dict[str, dict[str, Any]]
    transport: str = "aio"
    #: The fields of ``TlsFiles``; None: plain text.
    tls: dict[str, str] | None = None
    #: Where the tokens stand, and the lines in force; an empty path: nobody is asked for one.
    tokens_path: str = ""
    tokens: list[str] = field(default_factory=list)
    max_request_images: int = 1024
    max_message_bytes: int = 64 << 20
    cores: list[int] = field(default_factory=list)
    log_format: str = "console"
    log_level: str = "info"
    access_log_share: float = 1.0
    slow_request_ms: float = 1000.0
    tracing: str = "off"
    trace_share: float = 1.0
    metrics: bool = True
    pipeline: int = 1

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that must stand before the process starts."""
        return {} if self.transport == "aio" else support.environment()


def environment(config: Any) -> dict[str, str]:
    """The environment of a process with ``config``."""
    # torch warns of each deprecated operator an artefact calls; a user of the artefact can do nothing about it.
    return {"TORCH_CPP_LOG_LEVEL": "ERROR", **os.environ, **config.variables}


def document(config: Any) -> bytes:
    """``config`` as :func:`read_config` reads it."""
    return json.dumps(asdict(config)).encode()


def read_config(kind: type[Config]) -> tuple[Config, socket.socket]:
    """The configuration of this process and its control socket."""
    values = json.load(sys.stdin)
    config = kind(**values)
    return config, socket.socket(fileno=values["control_fd"])
