"""HTTP to this machine passes by every proxy, and whatever else answers there is told in a sentence."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from twinserve_host.http import HttpError, is_loopback, read_url

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port on which each connection is sent what ``answer`` sends once something was asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    try:
                        answer(connection)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def drip(connection: socket.socket) -> None:
    """An answer without end, a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    gone = threading.Event()
    while not gone.wait(0.05):
        connection.sendall(b"x")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_sees_what_stays_on_this_machine(monkeypatch: pytest.MonkeyPatch, variable: str, host: str) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with answering(lambda connection: connection.sendall(OK)) as port:
        assert read_url(f"http://{host}:{port}/", 30) == b"ok"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda c: c.sendall(b"\0\0\x12\4\0\0\0\0\0"), "not an HTTP answer: BadStatusLine"),
        (lambda c: c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), "not an HTTP answer: BadStatusLine: 'SSH-2.0"),
        (lambda c: c.close(), "closed connection without response"),
        (lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"), "cut off 95 bytes"),
        (lambda c: c.sendall(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n"), "not an HTTP answer"),
        (lambda c: c.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "404"),
        (drip, "not complete after 1 s"),
    ],
    ids=["http2", "ssh", "closed", "cut off", "endless headers", "not found", "dripping"],
)
def test_what_is_no_answer_is_said(answer: Callable[[socket.socket], None], said: str) -> None:
    with answering(answer) as port, pytest.raises(HttpError, match=said) as told:
        read_url(f"http://127.0.0.1:{port}/", 1)
    assert "\n" not in str(told.value)


def test_a_port_that_nobody_listens_on_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(HttpError, match="Connection refused"):
        read_url(f"http://127.0.0.1:{port}/", 5)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        *((name, True) for name in ("localhost", "LOCALHOST.", "127.0.0.1", "127.8.9.1", "::1", "0.0.0.0", "::")),
        *((name, False) for name in ("10.0.0.7", "127.example.com", "example.com", "fe80::1", "")),
    ],
)
def test_loopback_is_told_by_the_address(host: str, here: bool) -> None:
    assert is_loopback(host) is here
