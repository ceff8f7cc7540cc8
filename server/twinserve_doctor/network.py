"""The ports that a server would listen on, and what protects them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_doctor.finding import Finding

if TYPE_CHECKING:
    from twinserve_server.settings.server import ServerSettings


def network(settings: ServerSettings) -> list[Finding]:
    """A finding for each port, or one on what keeps a server from listening: plain text to others, TLS, tokens."""
    from twinserve_host.exposure import host_and_port  # noqa: PLC0415
    from twinserve_server.errors import TwinserveError  # noqa: PLC0415
    from twinserve_server.settings.exposure import listening, tls_files  # noqa: PLC0415
    from twinserve_server.supervisor.runner import StartError  # noqa: PLC0415
    from twinserve_server.supervisor.start import open_guard, reserve_port  # noqa: PLC0415

    try:
        beside = listening(settings)
        if (files := tls_files(settings)) is not None:
            files.check()
        if settings.tokens is not None:
            open_guard(settings.tokens)
    except TwinserveError as error:
        return [Finding("network", "fault", error.message, "see docs/security.md")]
    ports = [
        ("gRPC", "--port", settings.host, settings.port),
        ("metrics", "--metrics-port", beside.metrics_host, settings.metrics_port),
    ]
    if beside.admin is not None:
        ports.append(("admin", "--admin-port", *beside.admin))
    found = []
    for what, option, host, port in ports:
        where, facts = host_and_port(host, port), {"host": host, "port": port}
        try:
            reserve_port(option, host, port).close()
        except StartError as error:
            advice = f"`twinserve health` tells whether a twinserve server is there; otherwise choose another {option}"
            found.append(Finding(f"{what} port", "fault", error.message, advice, facts))
        else:
            found.append(
                Finding(f"{what} port", "ok", f"{where} is free" if port else f"any free one on {host}", "", facts)
            )
    return found
