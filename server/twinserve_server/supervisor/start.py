"""The one place where a server is wired: start, announce, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from twinserve_host.exposure import host_and_port, is_private
from twinserve_host.files import FileError, write_file
from twinserve_server.access.guard import Guard
from twinserve_server.access.token_file import TokenFile
from twinserve_server.access.tokens import TokenError
from twinserve_server.artefact.repository import load_repository
from twinserve_server.ipc.addresses import address_space
from twinserve_server.metrics.exposition import ServerCollector
from twinserve_server.metrics.http import serve_metrics
from twinserve_server.settings.exposure import listening, tls_files
from twinserve_server.settings.server import ServerSettings
from twinserve_server.structured_log import structlog
from twinserve_server.supervisor.entrance import Entrance
from twinserve_server.supervisor.plan import Plan, make_plan
from twinserve_server.supervisor.runner import Runner, StartError
from twinserve_server.supervisor.service_manager import ServiceManager
from twinserve_server.supervisor.supervisor import Supervisor
from twinserve_server.transport.certificates import Certificates

log = structlog.get_logger()

#: The signals that end a server.
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def run_server(
    settings: ServerSettings,
    run: Callable[[Plan, Entrance], Runner] = Supervisor,
    *,
    on_progress: Callable[[int, int], None] = lambda *_: None,
    on_ready: Callable[[Runner, int], None] = lambda *_: None,
) -> bool:
    """Serve until SIGTERM, SIGINT or SIGHUP, then drain; returns False if a second SIGINT cut the drain short.

    Args:
        settings: see there.
        run: makes what runs the plan.
        on_progress: told how many of how many processes are ready.
        on_ready: told what runs, and the metrics port.

    Raises:
        ArtefactError: the models are missing or wrong.
        ExposureError: other machines could reach a port in plain text without explicit permission.
        TlsError: the TLS files cannot be used.
        TokenError: the token file cannot be used.
        TrafficFileError: the traffic file cannot be used.
        FeedbackKeyError: the key file cannot be used.
        OptionError: an option names something that the models do not have.
        StartError: a port is in use, or a process cannot start.
        ProfileError: the edge profile was requested and is not possible.
    """
    versions = load_repository(settings.model_folder, settings.model_key)
    if settings.ready_file is not None:
        check_ready_file(settings.ready_file)
    stop, force = asyncio.Event(), asyncio.Event()
    manager = ServiceManager()
    with contextlib.ExitStack() as stack:
        plan = make_plan(settings, versions, stack.enter_context(address_space()))
        beside = listening(settings)
        if settings.insecure and settings.tls_cert is None and not is_private(settings.host):
            log.warning("plain_text", host=settings.host, tokens="travel unencrypted" if settings.tokens else "none")
        guard = None if settings.tokens is None else open_guard(settings.tokens)
        held = stack.enter_context(reserve_port("--port", settings.host, settings.port))
        port = held.getsockname()[1]
        files = tls_files(settings)
        certificates = None if files is None else Certificates(files)
        admin = None
        if beside.admin is not None:
            held = stack.enter_context(reserve_port("--admin-port", *beside.admin))
            admin = (beside.admin[0], int(held.getsockname()[1]))
        runner = run(plan, Entrance(port, guard, certificates, admin))
        collector = ServerCollector(lambda: runner.books.slabs, runner.values)
        try:
            metrics_server = serve_metrics(
                beside.metrics_host,
                settings.metrics_port,
                collector,
                certificates if beside.metrics_tls else None,
                guard,
            )
        except OSError as error:
            raise StartError(
                f"--metrics-port: cannot listen on {host_and_port(beside.metrics_host, settings.metrics_port)} "
                f"({error.strerror}); choose another, or 0 for any"
            ) from None
        if settings.metrics_export != "off":
            # OpenTelemetry is an extra.
            from twinserve_server.telemetry.metrics_export import MetricsExport  # noqa: PLC0415

            export = MetricsExport(collector.sums, f"{socket.gethostname()}:{port}")
            stack.callback(export.close)
        stack.callback(metrics_server.server_close)
        stack.callback(metrics_server.shutdown)
        listen_to_signals(stop, force, runner)
        alive = asyncio.ensure_future(manager.keep_alive())
        starting = asyncio.ensure_future(runner.start(on_progress))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                metrics_port = int(metrics_server.server_port)
                if settings.ready_file is not None:
                    write_ready_file(settings.ready_file, port, metrics_port, port if admin is None else admin[1])
                    stack.callback(settings.ready_file.unlink, missing_ok=True)
                manager.tell("READY=1", f"STATUS=serving on port {port}")
                on_ready(runner, metrics_port)
                await stopping
                log.info("draining", grace_seconds=settings.grace)
        finally:
            manager.tell("STOPPING=1", "STATUS=draining")
            starting.cancel()
            stopping.cancel()
            await runner.stop(settings.grace if starting.done() else 0.0)
            alive.cancel()
    log.info("stopped")
    return not force.is_set()


def listen_to_signals(stop: asyncio.Event, force: asyncio.Event, runner: Runner) -> None:
    """Set ``stop`` when the server is to drain; kill everything on a second Ctrl-C."""
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set() and number == signal.SIGINT and not force.is_set():
            force.set()
            runner.kill()
            log.warning("drain_cut_short")
        stop.set()

    for number in SIGNALS:
        # Started with nohup, it should outlive the terminal.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, on_signal, number)
    # The parent may have blocked them until this process handles them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def check_ready_file(path: Path) -> None:
    """Check that it can be written later.

    Raises:
        StartError: it cannot.
    """
    if path.is_dir():
        raise StartError(f"--ready-file: {path} is a folder; name a file")
    if not path.parent.is_dir():
        raise StartError(f"--ready-file: cannot write {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StartError(f"--ready-file: cannot write {path}: no permission to write in {path.parent}")


def open_guard(path: Path) -> Guard:
    """The guard of a token file.

    Raises:
        TokenError: the file cannot be used.
    """
    try:
        return Guard(TokenFile(path))
    except TokenError as error:
        raise TokenError(f"--tokens: {error.message}") from None


async def explain(settings: ServerSettings, on_progress: Callable[[int, int], None] = lambda *_: None) -> list[str]:
    """Explain how many processes a server with these settings would run here, and why.

    Unless one process is enough, each variant is loaded once to measure its cost per image; nothing listens.

    Raises:
        ArtefactError, OptionError, StartError: see :func:`run_server`.
    """
    versions = load_repository(settings.model_folder, settings.model_key)
    with address_space() as space:
        plan = make_plan(settings, versions, space)
        if plan.profile.edge:
            return plan.in_one_process().reasons
        supervisor = Supervisor(plan, Entrance(port=0))
        try:
            await supervisor.measure(on_progress)
        finally:
            await supervisor.stop(0.0)
    return supervisor.plan.reasons


def plan_of(settings: ServerSettings) -> Plan:
    """The plan for a server with these settings, as far as its models' manifests determine it.

    Raises:
        ArtefactError, OptionError, ProfileError: see :func:`run_server`.
    """
    return make_plan(settings, load_repository(settings.model_folder, settings.model_key), "")


def reserve_port(option: str, host: str, port: int) -> socket.socket:
    """Hold a port for the gateways, which share it by SO_REUSEPORT; 0 becomes a free one. ``option`` names it.

    Raises:
        StartError: the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Without SO_REUSEPORT, so that this also fails if another server shares the port and would mix with ours.
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
            port = probe.getsockname()[1]
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
    except OSError as error:
        raise StartError(
            f"{option}: cannot listen on {host_and_port(host, port)} ({error.strerror}); is another server "
            "running there? Choose another, or 0 for any"
        ) from None
    return held


def write_ready_file(path: Path, grpc_port: int, metrics_port: int, admin_port: int) -> None:
    """Signal to whoever waits for ``path`` that the server is ready; the file is written atomically.

    Raises:
        StartError: it cannot be written.
    """
    ports = {"grpc_port": grpc_port, "metrics_port": metrics_port, "admin_port": admin_port}
    try:
        write_file(path, json.dumps({**ports, "pid": os.getpid()}))
    except FileError as error:
        raise StartError(f"--ready-file: {error}") from None
