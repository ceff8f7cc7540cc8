"""What `twinserve serve` can be told: by flags, else by environment (`TWINSERVE_PORT=...`), else these defaults.

A setting is a field here and a use elsewhere, nothing else: the command line, the variables, `docs/settings.md` and
what each process is handed follow from the field. Values with several parts are written alike everywhere, see
``syntax``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from twinserve_server.settings import checks, syntax
from twinserve_server.settings.declaration import Check, Read, setting

Names = Annotated[list[str], Read(syntax.names)]
Counts = Annotated[list[int], Read(syntax.counts)]
Replicas = Annotated[dict[str, int], Read(syntax.replicas), Check(checks.possible_replicas)]
Pins = Annotated[dict[str, list[int]], Read(syntax.pins), Check(checks.usable)]
Shares = Annotated[dict[str, float], Read(syntax.shares), Check(checks.at_most_all)]

#: Where models lie when nobody says where.
DEFAULT_MODELS = Path("models")

MODELS = "Models"
NETWORK = "Network"
PROCESSES = "Processes"
BATCHING = "Batching and limits"
TRAFFIC = "Traffic"
LIFE = "Start and stop"
LOGS = "Logs, traces, metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Settings of a server, valid when they come from ``read_settings``; immutable."""

    models: Path | None = setting(
        None,
        "Model folder: <models>/<model>/<version>/manifest.json.",
        shown=f"{DEFAULT_MODELS}, built at the first start",
        panel=MODELS,
    )
    default_model: str = setting(
        "", "Answers requests that name no model.", shown="the only one, or the first", panel=MODELS
    )
    variants: Names = setting([], "Serve only these variants.", shown="all", metavar="A,B", panel=MODELS)
    model_key: Annotated[Path | None, Check(checks.model_signing_is_installed)] = setting(
        None, "Serve only models signed for this public key (PEM), by model-signing.", panel=MODELS
    )
    build: bool = setting(True, "Build the MNIST models when there are none yet and no folder is named.", panel=MODELS)
    unloaded_metrics_seconds: float = setting(
        300.0, "How long the metrics of a version stay after it was unloaded.", ge=0, le=86400, panel=MODELS
    )

    host: str = setting("127.0.0.1", "Address to listen on.", panel=NETWORK)
    port: int = setting(8500, "gRPC port; 0: any free one.", ge=0, le=65535, panel=NETWORK)
    metrics_host: str = setting("", "Address of /metrics.", shown="that of gRPC", panel=NETWORK)
    metrics_port: int = setting(8502, "Port of /metrics; 0: any free one.", ge=0, le=65535, panel=NETWORK)
    admin_host: str = setting("", "Address for admin calls.", shown="see --admin-port", panel=NETWORK)
    admin_port: int | None = setting(
        None,
        "Port of their own for admin calls; 0: any free one.",
        shown="none for a server on loopback without tokens and --tls-client-ca; else 8501 on 127.0.0.1",
        ge=0,
        le=65535,
        panel=NETWORK,
    )
    insecure: bool = setting(False, "Let other machines in though nothing is encrypted.", panel=NETWORK)
    tls_cert: Path | None = setting(None, "Certificate chain (PEM); turns TLS on.", panel=NETWORK)
    tls_key: Path | None = setting(None, "Its private key (PEM).", panel=NETWORK)
    tls_client_ca: Path | None = setting(
        None, "Let in only clients with a certificate of this authority (PEM).", panel=NETWORK
    )
    tokens: Path | None = setting(None, "Ask callers for a token of this file; see `twinserve token`.", panel=NETWORK)
    transport: Annotated[Literal["auto", "aio", "fast", "native"], Check(checks.native_is_installed)] = setting(
        "auto", "gRPC transport: auto, aio, fast, or, for trusted callers on this machine, native.", panel=NETWORK
    )

    profile: Literal["auto", "edge", "isolated"] = setting(
        "auto",
        "edge: everything in one process, for small machines; isolated: a process for each model and gateway; "
        "auto: edge on one core.",
        panel=PROCESSES,
    )
    gateways: Annotated[int, Check(checks.one_gateway_off_linux)] = setting(
        0, "Gateway processes.", ge=0, le=64, shown="as fits the machine; off Linux 1", panel=PROCESSES
    )
    replicas: Replicas = setting(
        {}, "Model processes of a variant.", shown="as fits the machine", metavar="V=N", panel=PROCESSES
    )
    threads: int = setting(1, "Threads of a forward pass.", ge=1, le=256, panel=PROCESSES)
    pin: Pins = setting({}, "Cores of a variant or of 'gateway'.", shown="any", metavar="V=0,1", panel=PROCESSES)
    hang_seconds: float = setting(
        10.0,
        "A process that has not said for so long that it is at work is replaced; 0: never.",
        ge=0,
        le=3600,
        panel=PROCESSES,
    )
    batch_seconds: float = setting(
        300.0,
        "A model process whose forward pass takes longer is replaced; 0: never.",
        ge=0,
        le=86400,
        panel=PROCESSES,
    )
    pipeline: int = setting(1, "Batches in flight from one gateway to one model process.", ge=1, le=8, panel=PROCESSES)

    batching: bool = setting(True, "Dynamic batching.", panel=BATCHING)
    max_batch_size: int = setting(
        0, "Images a forward pass may take.", ge=0, le=4096, shown="what the manifest says", panel=BATCHING
    )
    max_queue_delay_us: int = setting(
        0, "How long a request may wait for others to share its batch, in µs.", ge=0, le=1_000_000, panel=BATCHING
    )
    preferred_batch_sizes: Counts = setting(
        [], "With a delay: sizes at which a batch goes early.", shown="none", metavar="N,M", panel=BATCHING
    )
    max_queue_images: int = setting(
        4096, "Images that may wait for a variant before requests are refused.", ge=1, panel=BATCHING
    )
    max_request_images: int = setting(1024, "Images a request may carry.", ge=1, le=65536, panel=BATCHING)
    max_message_mib: int = setting(64, "Largest gRPC message, in MiB.", ge=1, le=1024, panel=BATCHING)

    split: Shares = setting(
        {},
        "Share of the requests that name no variant; what is left goes to the first variant not named here.",
        shown="all to the first variant",
        metavar="V=SHARE",
        panel=TRAFFIC,
    )
    shadow: Shares = setting(
        {}, "Share of the requests that also runs on a variant.", shown="none", metavar="V=SHARE", panel=TRAFFIC
    )
    traffic: Path | None = setting(
        None,
        "Follow the weights and shadows in this file (JSON), instead of --split, --shadow and `twinserve traffic`.",
        panel=TRAFFIC,
    )
    feedback_key: Path | None = setting(
        None,
        "File with the key that signs answers into request ids; servers with the same key take each other's labels.",
        shown="a key of its own, new at each start",
        panel=TRAFFIC,
    )

    grace: float = setting(10.0, "Seconds a drain may take.", ge=0, le=3600, panel=LIFE)
    explain_plan: bool = setting(
        False, "Say how many processes would run on this machine, and why; serve nothing.", panel=LIFE
    )
    ready_file: Path | None = setting(None, "Written once ready: ports and pid, as JSON.", panel=LIFE)

    log_format: Literal["console", "json"] = setting("console", "Form of the log: console or json.", panel=LOGS)
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Least level logged: debug, info, warning or error.", panel=LOGS
    )
    access_log_share: float = setting(
        1.0, "At debug: the share of the good RPCs that get a line; others always do.", ge=0, le=1, panel=LOGS
    )
    slow_request_ms: float = setting(
        1000.0, "Requests that take longer are logged with their stage split; 0: none.", ge=0, panel=LOGS
    )
    tracing: Annotated[Literal["off", "console", "otlp"], Check(checks.opentelemetry_is_installed)] = setting(
        "off", "OpenTelemetry traces: off, console or otlp (to OTEL_EXPORTER_OTLP_ENDPOINT).", panel=LOGS
    )
    trace_share: float = setting(
        1.0, "Share of the traces that begin here; one that a client began follows the client.", ge=0, le=1, panel=LOGS
    )
    metrics_export: Annotated[Literal["off", "otlp"], Check(checks.opentelemetry_is_installed)] = setting(
        "off", "Push metrics, too: off or otlp (to OTEL_EXPORTER_OTLP_ENDPOINT).", panel=LOGS
    )

    @property
    def model_folder(self) -> Path:
        """Where the models lie."""
        return self.models or DEFAULT_MODELS
