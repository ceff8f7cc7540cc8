"""The port of /metrics: over HTTPS, behind a token, and rid of those who say nothing."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection, RemoteDisconnected
from pathlib import Path

import pytest
import structlog
from prometheus_client.registry import Collector

from support.server_process import wait_until
from twinserve_server.access.guard import Guard
from twinserve_server.access.token_file import TokenFile, create_token, revoke_token
from twinserve_server.metrics import http
from twinserve_server.metrics.http import MetricsServer, serve_metrics
from twinserve_server.transport.certificates import Certificates
from twinserve_server.transport.tls import TlsFiles


class Nothing(Collector):
    def collect(self) -> Iterator[None]:  # type: ignore[override]
        return iter(())


def get(server: MetricsServer, token: str = "", context: ssl.SSLContext | None = None) -> HTTPResponse:
    address = ("127.0.0.1", server.server_port)
    connection = HTTPConnection(*address, timeout=30) if context is None else HTTPSConnection(
        *address, timeout=30, context=context
    )  # fmt: skip
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"} if token else {})
    return connection.getresponse()


@pytest.fixture
def closing() -> Iterator[list[MetricsServer]]:
    servers: list[MetricsServer] = []
    with structlog.testing.capture_logs():
        yield servers
    for server in servers:
        server.shutdown()
        server.server_close()


def test_tokens_need_the_role_and_are_followed(tmp_path: Path, closing: list[MetricsServer]) -> None:
    path = tmp_path / "tokens"
    secrets = {role: create_token(path, role, [role]) for role in ("predict", "metrics", "admin")}
    closing.append(server := serve_metrics("127.0.0.1", 0, Nothing(), guard=Guard(TokenFile(path))))
    nobody = get(server)
    assert nobody.status == 401
    assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="twinserve"'
    assert get(server, "wrong").status == 401
    denied = get(server, secrets["predict"])
    assert denied.status == 403
    assert denied.read() == b"the token 'predict' has the role predict; this needs the role metrics\n"
    assert get(server, secrets["metrics"]).status == 200
    assert get(server, secrets["admin"]).status == 200
    revoke_token(path, "metrics")
    assert get(server, secrets["metrics"]).status == 401


class TestOverTls:
    @pytest.fixture
    def server(self, certificates: Path, closing: list[MetricsServer]) -> MetricsServer:
        files = TlsFiles(str(certificates / "server.pem"), str(certificates / "server.key"))
        closing.append(server := serve_metrics("127.0.0.1", 0, Nothing(), Certificates(files)))
        return server

    def test_a_scraper_that_knows_the_authority_is_answered(self, server: MetricsServer, certificates: Path) -> None:
        assert get(server, context=ssl.create_default_context(cafile=certificates / "ca.pem")).status == 200

    def test_one_that_does_not_is_not(self, server: MetricsServer) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            get(server, context=ssl.create_default_context())

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
    def test_nothing_older_than_1_2_is_spoken(self, server: MetricsServer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            get(server, context=context)

    def test_plain_text_gets_no_answer_and_harms_nobody(self, server: MetricsServer, certificates: Path) -> None:
        with pytest.raises((RemoteDisconnected, ConnectionResetError)):
            get(server)
        assert get(server, context=ssl.create_default_context(cafile=certificates / "ca.pem")).status == 200


def test_a_server_that_asks_for_certificates_lets_in_no_scraper_without_one(
    certificates: Path, closing: list[MetricsServer]
) -> None:
    files = TlsFiles(*(str(certificates / name) for name in ("server.pem", "server.key", "ca.pem")))
    closing.append(server := serve_metrics("127.0.0.1", 0, Nothing(), Certificates(files)))
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    with pytest.raises((ssl.SSLError, OSError)):
        get(server, context=context)
    context.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    assert get(server, context=context).status == 200


def test_who_says_nothing_is_hung_up_on_and_holds_no_thread(
    monkeypatch: pytest.MonkeyPatch, closing: list[MetricsServer]
) -> None:
    monkeypatch.setattr(http, "SECONDS", 0.2)
    monkeypatch.setattr(http._Handler, "timeout", 0.2)
    before = threading.active_count()
    closing.append(server := serve_metrics("127.0.0.1", 0, Nothing()))
    silent = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(3 * http.MAX_CONNECTIONS)]
    for connection in silent:
        connection.settimeout(30)
        try:
            connection.sendall(b"GET /metrics HT")
            assert connection.recv(1) == b""
        except ConnectionError:
            pass  # closed with what it had sent unread
        finally:
            connection.close()
    wait_until(lambda: threading.active_count() <= before + 1, 30)
    assert get(server).status == 200
