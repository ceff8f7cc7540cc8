"""The ``/metrics`` port: HTTP or HTTPS, with a token if the server requires tokens, and with time limits."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from twinserve_server.access.guard import Guard
from twinserve_server.access.tokens import METRICS
from twinserve_server.errors import UnauthenticatedError
from twinserve_server.transport.certificates import Certificates

#: How long a scraper may take to send its request, and to take the response.
SECONDS: Final = 10.0
#: Scrapes at the same time; more are closed at once.
MAX_CONNECTIONS: Final = 32

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class MetricsServer(ThreadingMixIn, WSGIServer):
    """A thread per connection, including its handshake, so that a hung client delays nobody."""

    daemon_threads = True
    #: Connections waiting to be accepted: with the usual 5, a burst would wait a second for TCP's retry.
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, host: str, port: int, certificates: Certificates | None) -> None:
        """
        Raises:
            OSError: the address is taken or not ours.
        """
        self._certificates = certificates
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.address_family, *_, (address, *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        super().__init__((str(address), port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread, while there are not too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Handshake, if there is one; then answer."""
        request.settimeout(SECONDS)
        if self._certificates is None:
            super().finish_request(request, client_address)
            return
        self._certificates.refresh()
        context = self._certificates.context
        assert context is not None
        with context.wrap_socket(request, server_side=True, suppress_ragged_eofs=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up or speak another protocol."""


class _Handler(WSGIRequestHandler):
    timeout = SECONDS

    def log_message(self, *_: object) -> None:
        """Nothing: the access log is for RPCs."""


def serve_metrics(
    host: str,
    port: int,
    collector: Collector,
    certificates: Certificates | None = None,
    guard: Guard | None = None,
) -> MetricsServer:
    """Serve ``collector`` in a thread.

    Args:
        host: where to listen.
        port: 0 takes a free one (``server.server_port``).
        collector: what to serve.
        certificates: for HTTPS; None: plain HTTP.
        guard: requires a token with the role *metrics*; None lets anyone read.

    Raises:
        OSError: the address is in use.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    app: App = make_wsgi_app(registry)
    server = MetricsServer(host, port, certificates)
    server.set_app(app if guard is None else guarded(app, guard))
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def guarded(app: App, guard: Guard) -> App:
    """``app``, restricted to callers whose token has the role *metrics*."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        guard.refresh()
        error = guard.refusal(environ.get("HTTP_AUTHORIZATION"), METRICS)
        if error is None:
            return app(environ, start_response)
        headers = [("Content-Type", "text/plain; charset=utf-8")]
        if isinstance(error, UnauthenticatedError):
            headers.append(("WWW-Authenticate", 'Bearer realm="twinserve"'))
            start_response("401 Unauthorized", headers)
        else:
            start_response("403 Forbidden", headers)
        return [f"{error.message}\n".encode()]

    return serve
