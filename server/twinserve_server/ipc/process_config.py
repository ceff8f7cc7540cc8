"""The configuration of each process that the supervisor starts: one typed document on standard input.

An environment variable would not do: Linux limits it to 128 KiB, and a model may have thousands of labels.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from typing import TypeVar

from twinserve_server.access.tokens import Token
from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.ipc.codec import decode, encode
from twinserve_server.ipc.model_setup import ModelSetup
from twinserve_server.settings.server import ServerSettings
from twinserve_server.transport.fast import support
from twinserve_server.transport.tls import Pem


@dataclass(frozen=True, slots=True)
class ModelProcessConfig:
    """One replica of one variant."""

    name: str
    settings: ServerSettings
    version: ModelVersion
    variant: str
    #: Images a forward pass may take.
    max_batch_size: int
    #: Where it listens for gateways.
    address: str
    control_fd: int
    #: Of the memory that its metrics are written to.
    slab_fd: int

    @property
    def cores(self) -> list[int]:
        """Where it may run; empty: anywhere."""
        return self.settings.pin.get(self.variant, [])

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that must stand before the process starts."""
        return model_variables()


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """One gateway."""

    name: str
    index: int
    settings: ServerSettings
    #: The port that all gateways share; the settings may say 0, for any.
    port: int
    control_fd: int
    #: Of the memory that its metrics are written to.
    slab_fd: int
    #: Of that of its exemplars; -1: it does not trace.
    exemplars_fd: int
    default_model: str
    models: list[ModelSetup]
    #: (model, version) of versions that are unloaded, but whose metrics remain for a while.
    lingering: list[tuple[str, str]]
    #: The policies in force; from here on, the gateway follows the file named by the settings.
    tokens: tuple[Token, ...]
    #: The content of the TLS files when they were last usable; None: plain text.
    pem: Pem | None
    #: The keys that verify signed answers; the first one signs.
    feedback_keys: tuple[bytes, ...]
    #: Address and port of admin calls; None: the gRPC port answers them.
    admin: tuple[str, int] | None

    @property
    def cores(self) -> list[int]:
        """Where it may run; empty: anywhere."""
        return self.settings.pin.get("gateway", [])

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that must stand before the process starts."""
        return _gateway_variables(self.settings)


ProcessConfig = ModelProcessConfig | GatewayConfig
Config = TypeVar("Config", ModelProcessConfig, GatewayConfig)


def model_variables() -> dict[str, str]:
    """Environment variables that must stand before a process starts that runs models."""
    # torch warns of each deprecated operator an artefact calls; a user of the artefact can do nothing about it.
    return {"TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR")}


def _gateway_variables(settings: ServerSettings) -> dict[str, str]:
    return {} if settings.transport in ("aio", "native") else support.environment()


def edge_variables(settings: ServerSettings) -> dict[str, str]:
    """Environment variables that must stand before a process starts that is a gateway and runs models."""
    return {**model_variables(), **_gateway_variables(settings)}


def document(config: ProcessConfig | ServerSettings) -> bytes:
    """``config`` as :func:`read_config` reads it."""
    return encode(config)


def read_settings_document() -> ServerSettings:
    """The settings of a server that was started with them on standard input."""
    return decode(sys.stdin.buffer.read(), ServerSettings)


def read_config(kind: type[Config]) -> tuple[Config, socket.socket]:
    """The configuration of this process and its control socket."""
    config = decode(sys.stdin.buffer.read(), kind)
    return config, socket.socket(fileno=config.control_fd)
