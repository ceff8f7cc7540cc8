"""Where a server listens besides its gRPC port, and what a port that other machines can reach requires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twinserve_host.exposure import is_private
from twinserve_server.errors import TwinserveError
from twinserve_server.settings.server import ServerSettings
from twinserve_server.transport.tls import TlsFiles

#: Of admin calls, if they have a separate one.
ADMIN_PORT: Final = 8501


class ExposureError(TwinserveError):
    """The server would be reachable from other machines in plain text without explicit permission."""

    reason = "EXPOSED"


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server listens besides its gRPC port.

    Attributes:
        metrics_host: of ``/metrics``.
        metrics_tls: whether ``/metrics`` uses HTTPS: if the server has certificates and other machines can reach it.
        admin: address and port of admin calls (0: any); None if the gRPC port answers them.
    """

    metrics_host: str
    metrics_tls: bool
    admin: tuple[str, int] | None


def tls_files(settings: ServerSettings) -> TlsFiles | None:
    """The TLS files of a server; None for plain text.

    Raises:
        TlsError: one is missing.
    """
    return TlsFiles.of(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def listening(settings: ServerSettings) -> Listening:
    """Derive it from ``settings``.

    Raises:
        ExposureError: other machines could reach a port in plain text without explicit permission, or could reach the
            native transport, or the native transport is to use TLS.
        TlsError: one of the TLS files is missing.
    """
    files = tls_files(settings)
    encrypted = files is not None
    metrics_host = settings.metrics_host or settings.host
    if settings.transport == "native":
        _check_native(settings.host, encrypted=encrypted)
    admin = _admin(settings, private=is_private(settings.host) and not (files is not None and files.client_ca))
    hosts = [("--host", settings.host), ("--metrics-host", metrics_host)]
    if admin is not None:
        hosts.append(("--admin-host", admin[0]))
    for option, host in hosts:
        check_exposed(option, host, encrypted=encrypted, insecure=settings.insecure)
    return Listening(metrics_host, encrypted and not is_private(metrics_host), admin)


def _admin(settings: ServerSettings, *, private: bool) -> tuple[str, int] | None:
    """Where admin calls are answered.

    Whoever reaches the gRPC port of a private server reaches every port of it: one of their own would protect nothing.
    """
    asked_for = settings.admin_port is not None or settings.admin_host
    if private and settings.tokens is None and not asked_for:
        return None
    port = settings.admin_port
    if port is None:
        port = ADMIN_PORT if settings.port else 0
    return settings.admin_host or "127.0.0.1", port


def _check_native(host: str, *, encrypted: bool) -> None:
    if encrypted:
        raise ExposureError("--transport native does not support TLS; leave out --tls-cert, or choose fast or aio")
    if not is_private(host):
        raise ExposureError(
            f"--host {host}: --transport native does not bound the size of messages, so it is for callers on this "
            "machine; give --host 127.0.0.1, or choose fast or aio"
        )


def check_exposed(option: str, host: str, *, encrypted: bool, insecure: bool) -> None:
    """Check that traffic leaving this machine is encrypted, or explicitly allowed not to be.

    Args:
        option: the setting's name in the message.
        host: where to listen.
        encrypted: whether the port uses TLS.
        insecure: whether plain text is allowed.
    """
    if not (encrypted or insecure or is_private(host)):
        raise ExposureError(
            f"{option} {host}: other machines could reach this port, and it would speak plain text; give --tls-cert "
            f"and --tls-key, or {option} 127.0.0.1, or --insecure when the network itself is trusted"
        )
