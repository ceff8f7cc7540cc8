"""What `twinserve serve` can be told: by flags, else by environment (`TWINSERVE_PORT=...`), else these defaults.

Values with several parts are written alike in both, see ``setting_syntax``.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from twinserve_host.cores import usable_cores
from twinserve_server.settings import syntax
from twinserve_server.transport.tls import TlsFiles


class ServerSettings(BaseSettings):
    """Validated settings of a server; immutable."""

    model_config = SettingsConfigDict(env_prefix="TWINSERVE_", env_ignore_empty=True, frozen=True, extra="forbid")

    models: Path = Field(Path("models"), description="Model repository: <models>/<model>/<version>/manifest.json.")
    default_model: str = Field(
        "", description="Answers requests that name no model; empty: the only one, or the first."
    )
    variants: Annotated[list[str], NoDecode] = Field([], description="Serve only these variants; empty: all.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8500, ge=0, le=65535, description="gRPC port; 0: any free one.")
    metrics_port: int = Field(8502, ge=0, le=65535, description="Port of /metrics; 0: any free one.")
    tls_cert: Path | None = Field(None, description="PEM: the server's certificate chain; turns TLS on.")
    tls_key: Path | None = Field(None, description="PEM: its private key.")
    tls_client_ca: Path | None = Field(None, description="PEM: clients need a certificate of this authority.")
    tokens: Path | None = Field(None, description="Token file: callers need a token of it, with the role that fits.")
    gateways: int = Field(0, ge=0, le=64, description="Gateway processes; 0: by the cores, at most 2; off Linux 1.")
    replicas: Annotated[dict[str, int], NoDecode] = Field(
        {}, description="Model processes by variant; 1 where not named."
    )
    threads: int = Field(1, ge=1, le=256, description="Intra-op threads of a model process.")
    pin: Annotated[dict[str, list[int]], NoDecode] = Field(
        {}, description="Cores by process role: a variant's name, or 'gateway'."
    )
    transport: Literal["auto", "aio", "fast"] = Field("auto", description="gRPC transport.")
    batching: bool = Field(True, description="Dynamic batching.")
    max_batch_size: int = Field(0, ge=0, le=4096, description="Images a forward pass; 0: what the manifest says.")
    max_queue_delay_us: int = Field(0, ge=0, le=1_000_000, description="How long a request may wait for company.")
    preferred_batch_sizes: Annotated[list[int], NoDecode] = Field(
        [], description="With a delay: sizes at which a batch goes early."
    )
    max_queue_images: int = Field(4096, ge=1, description="Images waiting for one variant before requests are refused.")
    max_request_images: int = Field(1024, ge=1, le=65536, description="Images one request may carry.")
    max_message_mib: int = Field(64, ge=1, le=1024, description="Largest gRPC message.")
    split: Annotated[dict[str, float], NoDecode] = Field(
        {}, description="Share of the unnamed requests by variant; the rest: the default."
    )
    shadow: Annotated[dict[str, float], NoDecode] = Field(
        {}, description="Share of the requests that also runs on a variant."
    )
    grace: float = Field(10.0, ge=0, le=3600, description="Seconds a drain may take.")
    pipeline: int = Field(1, ge=1, le=8, description="Batches in flight from one gateway to one model process.")
    metrics: bool = Field(True, description="Count and time requests; off only to measure what that costs.")
    log_format: Literal["console", "json"] = Field("console", description="Form of the log.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    access_log_share: float = Field(
        1.0, ge=0, le=1, description="At log level debug: the share of the good RPCs that get a line; others always do."
    )
    slow_request_ms: float = Field(
        1000.0, ge=0, description="A request that takes longer is logged with its stage split; 0: none is."
    )
    tracing: Literal["off", "console", "otlp"] = Field(
        "off", description="Where spans go; for otlp, OTEL_EXPORTER_OTLP_ENDPOINT says to whom."
    )
    trace_share: float = Field(
        1.0, ge=0, le=1, description="Share of the traces that begin here; one that a client began follows the client."
    )

    @field_validator("variants", mode="before")
    @classmethod
    def _read_names(cls, value: Any) -> list[str]:
        return syntax.names(value)

    @field_validator("preferred_batch_sizes", mode="before")
    @classmethod
    def _read_counts(cls, value: Any) -> list[int]:
        return syntax.counts(value)

    @field_validator("replicas", mode="before")
    @classmethod
    def _read_replicas(cls, value: Any) -> dict[str, int]:
        return syntax.pairs(value, syntax.whole, "int8=2")

    @field_validator("pin", mode="before")
    @classmethod
    def _read_cores(cls, value: Any) -> dict[str, list[int]]:
        return syntax.pairs(value, syntax.cores, "int8=0,1")

    @field_validator("split", "shadow", mode="before")
    @classmethod
    def _read_shares(cls, value: Any) -> dict[str, float]:
        return syntax.pairs(value, syntax.share, "int8=0.1")

    @field_validator("tracing")
    @classmethod
    def _check_tracing(cls, value: str) -> str:
        if value != "off" and importlib.util.find_spec("opentelemetry.sdk") is None:
            raise ValueError("OpenTelemetry is not installed: pip install 'twinserve[tracing]'")
        return value

    @field_validator("replicas")
    @classmethod
    def _check_replicas(cls, value: dict[str, int]) -> dict[str, int]:
        for variant, count in value.items():
            if not 1 <= count <= 64:
                raise ValueError(f"{variant}={count}: 1..64 replicas are possible")
        return value

    @field_validator("gateways")
    @classmethod
    def _check_gateways(cls, value: int) -> int:
        # Elsewhere SO_REUSEPORT lets several listen, but one of them gets every connection.
        if value > 1 and sys.platform != "linux":
            raise ValueError(f"{value} gateways can share a port on Linux only, this is {sys.platform}; give 1")
        return value

    @field_validator("split", "shadow")
    @classmethod
    def _check_shares(cls, value: dict[str, float]) -> dict[str, float]:
        if sum(value.values()) > 1:
            raise ValueError(f"the shares sum to {sum(value.values()):g}; at most 1 is possible")
        return value

    @field_validator("pin")
    @classmethod
    def _check_cores(cls, value: dict[str, list[int]]) -> dict[str, list[int]]:
        if value and not hasattr(os, "sched_getaffinity"):
            raise ValueError(f"processes can be pinned on Linux only, this is {sys.platform}")
        for role, cores in value.items():
            usable = os.sched_getaffinity(0)
            if not usable.issuperset(cores):
                there = ",".join(map(str, sorted(usable)))
                raise ValueError(f"{role}={','.join(map(str, cores))}: the server may use the cores {there}")
        return value

    @property
    def tls(self) -> TlsFiles | None:
        """The files of a server that speaks TLS.

        Raises:
            TlsError: one is missing.
        """
        return TlsFiles.of(self.tls_cert, self.tls_key, self.tls_client_ca)

    @property
    def gateway_count(self) -> int:
        """Gateways to start: one a core up to two, which leaves cores to the models; off Linux one."""
        return self.gateways or (min(2, usable_cores()) if sys.platform == "linux" else 1)
