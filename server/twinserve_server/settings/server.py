"""What `twinserve serve` can be told: by flags, else by environment (`TWINSERVE_PORT=...`), else these defaults.

A setting is a field here, and nothing else: the command line, the variables, `docs/settings.md` and the configuration
of each process are derived from it. For the syntax of values with several parts see ``syntax``.
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

#: The default model folder.
DEFAULT_MODELS = Path("models")

MODELS = "Models"
NETWORK = "Network"
PROCESSES = "Processes"
BATCHING = "Batching and limits"
CONNECTIONS = "Connections"
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
        "", "Model for requests that name none.", shown="the only one, or the first", panel=MODELS
    )
    variants: Names = setting([], "Serve only these variants.", shown="all", metavar="A,B", panel=MODELS)
    model_key: Annotated[Path | None, Check(checks.model_signing_is_installed)] = setting(
        None, "Serve only models signed for this public key (PEM), by model-signing.", panel=MODELS
    )
    build: bool = setting(True, "Build the MNIST models if there are none and --models is not given.", panel=MODELS)
    watch: bool = setting(False, "Load and activate higher versions as they appear in the model folder.", panel=MODELS)
    unloaded_metrics_seconds: float = setting(
        300.0, "How long to keep the metrics of a version after it is unloaded.", ge=0, le=86400, panel=MODELS
    )

    host: str = setting("127.0.0.1", "Address to listen on.", panel=NETWORK)
    port: int = setting(8500, "gRPC port; 0: any free port.", ge=0, le=65535, panel=NETWORK)
    metrics_host: str = setting("", "Address to serve /metrics on.", shown="the same as --host", panel=NETWORK)
    metrics_port: int = setting(8502, "Port for /metrics; 0: any free port.", ge=0, le=65535, panel=NETWORK)
    admin_host: str = setting("", "Address for admin calls.", shown="see --admin-port", panel=NETWORK)
    admin_port: int | None = setting(
        None,
        "Separate port for admin calls; 0: any free port.",
        shown="none on loopback without --tokens or --tls-client-ca; otherwise 8501 on 127.0.0.1",
        ge=0,
        le=65535,
        panel=NETWORK,
    )
    insecure: bool = setting(False, "Accept other machines without encryption.", panel=NETWORK)
    tls_cert: Path | None = setting(None, "Certificate chain (PEM); turns TLS on.", panel=NETWORK)
    tls_key: Path | None = setting(None, "Private key of the certificate (PEM).", panel=NETWORK)
    tls_client_ca: Path | None = setting(
        None, "Accept only clients with a certificate from this authority (PEM).", panel=NETWORK
    )
    tokens: Path | None = setting(None, "Require a bearer token from this file; see `twinserve token`.", panel=NETWORK)
    transport: Annotated[Literal["auto", "aio", "fast", "native"], Check(checks.native_is_installed)] = setting(
        "auto", "gRPC transport: auto, aio, fast, or, for trusted callers on this machine, native.", panel=NETWORK
    )

    profile: Literal["auto", "edge", "isolated"] = setting(
        "auto",
        "edge: everything in one process, for small machines; isolated: one process per gateway and model; "
        "auto: edge on one core.",
        panel=PROCESSES,
    )
    gateways: Annotated[int, Check(checks.one_gateway_off_linux)] = setting(
        0, "Gateway processes.", ge=0, le=64, shown="chosen for the machine; 1 outside Linux", panel=PROCESSES
    )
    replicas: Replicas = setting(
        {}, "Model processes per variant.", shown="chosen for the machine", metavar="V=N", panel=PROCESSES
    )
    threads: int = setting(1, "Threads per forward pass.", ge=1, le=256, panel=PROCESSES)
    pin: Pins = setting({}, "Cores for a variant or for 'gateway'.", shown="any", metavar="V=0,1", panel=PROCESSES)
    hang_seconds: float = setting(
        10.0,
        "Replace a process that sends no heartbeat for this long; 0: never.",
        ge=0,
        le=3600,
        panel=PROCESSES,
    )
    batch_seconds: float = setting(
        300.0,
        "Replace a model process whose forward pass takes longer than this; 0: never.",
        ge=0,
        le=86400,
        panel=PROCESSES,
    )
    pipeline: int = setting(1, "Batches in flight between a gateway and a model process.", ge=1, le=8, panel=PROCESSES)

    batching: bool = setting(True, "Dynamic batching.", panel=BATCHING)
    max_batch_size: int = setting(
        0, "Most images per forward pass.", ge=0, le=4096, shown="the manifest's limit", panel=BATCHING
    )
    max_queue_delay_us: int = setting(
        0, "How long a request may wait for others to share its batch, in µs.", ge=0, le=1_000_000, panel=BATCHING
    )
    preferred_batch_sizes: Counts = setting(
        [],
        "With a queue delay: batch sizes that are sent without further waiting.",
        shown="none",
        metavar="N,M",
        panel=BATCHING,
    )
    max_queue_requests: int = setting(
        4096, "Requests that may queue for a variant in each gateway; further ones are refused.", ge=1, panel=BATCHING
    )
    max_queue_images: int = setting(4096, "Images that may queue for a variant, likewise.", ge=1, panel=BATCHING)
    max_queue_mib: int = setting(
        256, "MiB of inputs that may queue for a variant, likewise.", ge=1, le=1_048_576, panel=BATCHING
    )
    max_request_images: int = setting(1024, "Most images per request.", ge=1, le=65536, panel=BATCHING)
    max_message_mib: int = setting(64, "Largest gRPC message, in MiB.", ge=1, le=1024, panel=BATCHING)

    max_connections: int = setting(
        10_000, "Connections that a gateway holds; further ones are closed at once.", ge=1, panel=CONNECTIONS
    )
    max_connection_calls: int = setting(
        1024,
        "Calls that one connection may have open at once; gRPC clients let further ones wait.",
        ge=1,
        le=1_000_000,
        panel=CONNECTIONS,
    )
    max_metadata_kib: int = setting(16, "Largest metadata of a call, in KiB.", ge=1, le=1024, panel=CONNECTIONS)
    max_idle_seconds: float = setting(
        3600.0, "Close a connection that has no calls for this long; 0: never.", ge=0, le=2_000_000, panel=CONNECTIONS
    )
    max_idle_call_seconds: float = setting(
        300.0,
        "End a call whose client sends no message, or reads no answer, for this long; 0: never.",
        ge=0,
        le=2_000_000,
        panel=CONNECTIONS,
    )

    split: Shares = setting(
        {},
        "Share of the requests that name no variant; the rest goes to the first variant not listed here.",
        shown="all to the first variant",
        metavar="V=SHARE",
        panel=TRAFFIC,
    )
    shadow: Shares = setting(
        {}, "Share of the requests that also run on a shadow variant.", shown="none", metavar="V=SHARE", panel=TRAFFIC
    )
    traffic: Path | None = setting(
        None,
        "Follow the weights and shadows in this JSON file instead of --split, --shadow and `twinserve traffic`.",
        panel=TRAFFIC,
    )
    feedback_key: Path | None = setting(
        None,
        "File with the key that signs answers into request IDs; servers that share a key accept each other's labels.",
        shown="a random key at each start",
        panel=TRAFFIC,
    )

    grace: float = setting(10.0, "Seconds a drain may take.", ge=0, le=3600, panel=LIFE)
    explain_plan: bool = setting(
        False, "Print how many processes would run on this machine, and why, without serving.", panel=LIFE
    )
    ready_file: Path | None = setting(None, "File to write once ready: ports and PID, as JSON.", panel=LIFE)

    log_format: Literal["console", "json"] = setting("console", "Log format: console or json.", panel=LOGS)
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Lowest level to log: debug, info, warning or error.", panel=LOGS
    )
    access_log_share: float = setting(
        1.0, "At level debug: share of successful RPCs to log; failed ones always are.", ge=0, le=1, panel=LOGS
    )
    slow_request_ms: float = setting(
        1000.0, "Log requests slower than this, with the time in each stage; 0: none.", ge=0, panel=LOGS
    )
    tracing: Annotated[Literal["off", "console", "otlp"], Check(checks.opentelemetry_is_installed)] = setting(
        "off", "OpenTelemetry traces: off, console or otlp (to OTEL_EXPORTER_OTLP_ENDPOINT).", panel=LOGS
    )
    trace_share: float = setting(
        1.0, "Share of requests to trace; for traces started by a client, the client decides.", ge=0, le=1, panel=LOGS
    )
    metrics_export: Annotated[Literal["off", "otlp"], Check(checks.opentelemetry_is_installed)] = setting(
        "off", "Also push metrics: off or otlp (to OTEL_EXPORTER_OTLP_ENDPOINT).", panel=LOGS
    )

    @property
    def model_folder(self) -> Path:
        """The model folder."""
        return self.models or DEFAULT_MODELS
