"""The addresses that a server listens on, and how it writes them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from support.server_process import ServerProcess, wait_until
from support.tiny_model import classes_of, items
from twinserve_client import Client
from twinserve_host.http import read_url


# The native transport listens on loopback only.
@pytest.mark.parametrize("transport", ["aio", "fast"])
def test_any_ipv4_address_is_no_ipv6_address(
    tiny_models: Path, serve: Callable[..., ServerProcess], transport: str
) -> None:
    server = serve(tiny_models, "--host", "0.0.0.0", "--insecure", "--gateways", "2", "--transport", transport)
    with Client(f"127.0.0.1:{server.grpc_port}") as client:
        assert client.predict(items(3)).classes.tolist() == classes_of(items(3)).tolist()
    for port in (server.grpc_port, server.metrics_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("::1", port), timeout=5)


def test_an_ipv6_address_is_listened_on_and_written_in_brackets(
    tiny_models: Path, serve: Callable[..., ServerProcess]
) -> None:
    server = serve(tiny_models, "--host", "::1")
    wait_until(lambda: "Ctrl-C drains" in server.log(), 30, server.log)
    assert f"gRPC [::1]:{server.grpc_port}" in server.log()
    assert f"http://[::1]:{server.metrics_port}/metrics" in server.log()
    with Client(f"[::1]:{server.grpc_port}") as client:
        assert client.predict(items(3)).classes.tolist() == classes_of(items(3)).tolist()
    assert b"twinserve_" in read_url(f"http://[::1]:{server.metrics_port}/metrics", 10)
