"""Targets: what may be written, what it means, and what is refused with the way to write it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from support.digit_server import Server
from twinserve_client import TLS, Client, ConfigurationError
from twinserve_client._channel import Connection
from twinserve_client._target import Target


@pytest.mark.parametrize(
    ("text", "address", "loopback", "several"),
    [
        ("127.0.0.1:8500", "dns:///127.0.0.1:8500", True, False),
        ("localhost:1", "dns:///localhost:1", True, False),
        ("[::1]:65535", "dns:///[::1]:65535", True, False),
        ("[fe80::1%eth0]:80", "dns:///[fe80::1%25eth0]:80", False, False),
        ("0.0.0.0:8500", "dns:///0.0.0.0:8500", True, False),
        ("10.0.0.7:8500", "dns:///10.0.0.7:8500", False, False),
        ("models.example.org:8500", "dns:///models.example.org:8500", False, True),
        ("unix:80", "unix:80", True, False),
        ("unix:///run/twinserve.sock", "unix:///run/twinserve.sock", True, False),
        ("dns:///localhost:8500", "dns:///localhost:8500", True, False),
        ("dns:8500", "dns:///dns:8500", False, True),
        ("ipv4:127.0.0.1:1,127.0.0.2:2", "ipv4:127.0.0.1:1,127.0.0.2:2", True, True),
        ("127.0.0.1:1,127.0.0.1:2", "ipv4:127.0.0.1:1,127.0.0.1:2", True, True),
        ("127.0.0.1:1,[::1]:2", "ipv6:[::ffff:127.0.0.1]:1,[::1]:2", True, True),
        ("localhost:1,127.0.0.1:2", "ipv4:127.0.0.1:1,127.0.0.1:2", True, True),
        ("127.0.0.1:1,127.0.0.1:1", "dns:///127.0.0.1:1", True, False),
        ("twinserve://127.0.0.1:8500", "dns:///127.0.0.1:8500", True, False),
        ("twinserve://127.0.0.1:1,127.0.0.1:2/?tls=off", "ipv4:127.0.0.1:1,127.0.0.1:2", True, True),
    ],
)
def test_what_may_be_written(text: str, address: str, loopback: bool, several: bool) -> None:
    target = Target.parse(text)
    assert target.address() == address
    assert (target.loopback, target.several) == (loopback, several)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (8500, "8500 is not text; give host:port"),
        (b"127.0.0.1:8500", "is not text"),
        (["127.0.0.1:8500"], "is not text"),
        ("", "is not an address"),
        (" 127.0.0.1:8500", "contains spaces"),
        ("127.0.0.1:8500\n", "contains spaces"),
        ("my host:8500", "contains spaces"),
        ("http://127.0.0.1:8500", "give 127.0.0.1:8500 or twinserve://127.0.0.1:8500$"),
        ("https://models:8500/v1", "give models:8500 or twinserve://models:8500; for TLS add \\?tls=on"),
        ("grpc://models:8500", "grpc:// is not supported"),
        ("127.0.0.1", r"the port is missing; give 127\.0\.0\.1:8500"),
        ("localhost", "the port is missing; give localhost:8500"),
        ("localhost:", "the port is missing"),
        ("[::1]", r"the port is missing; give \[::1\]:8500"),
        (":8500", "the host is missing"),
        ("localhost:0", "the port is '0'; a port is a number from 1 to 65535"),
        ("localhost:65536", "the port is '65536'"),
        ("localhost:74036", "the port is '74036'"),
        ("localhost:-1", "the port is '-1'"),
        ("localhost:http", "the port is 'http'"),
        ("localhost:٨٥٠٠", "the port is"),
        ("localhost:8500/", "the port is '8500/'"),
        ("localhost:" + "9" * 5000, "the port is"),
        ("::1:8500", r"ambiguous; write IPv6 in brackets, as \[::1\]:8500"),
        ("[::1:8500", "the closing bracket is missing"),
        ("[::1]8500", "'8500' follows the bracket"),
        ("[localhost]:8500", "is not an IPv6 address"),
        ("127.1:8500", "neither a host name"),
        ("256.0.0.1:8500", "neither a host name"),
        ("mödels:8500", "neither a host name"),
        ("user@host:8500", "neither a host name"),
        ("-models:8500", "neither a host name"),
        ("a" * 64 + ":8500", "neither a host name"),
        ("127.0.0.1:1,", "the host is missing"),
        ("127.0.0.1:1,,127.0.0.1:2", "the host is missing"),
        ("127.0.0.1:1, 127.0.0.1:2", "contains spaces"),
        ("unix:", "names nothing after its scheme"),
        ("twinserve://", "the host is missing"),
        ("twinserve://localhost", "the port is missing"),
        ("twinserve://localhost:1?tls", "name=value pairs"),
        ("twinserve://localhost:1?tls=maybe", "tls is 'maybe'; it is on or off"),
        ("twinserve://localhost:1?colour=red", "unknown option 'colour'; known are tls, ca, cert, key, server_name"),
        ("twinserve://localhost:1?tls=on&tls=off", "given twice"),
        ("twinserve://localhost:1?tls=off&ca=ca.pem", "tls=off contradicts"),
        ("twinserve://localhost:1?ca=", "ca is empty"),
        ("\ud800:8500", "is not an address"),
    ],
)
def test_what_is_no_target_is_refused_with_the_way_to_write_it(text: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^target: .*{message}"):
        Client(text)  # type: ignore[arg-type]


def test_hosts_of_a_list_that_are_not_known_are_left_out_while_one_is() -> None:
    assert Target.parse("127.0.0.1:1,nowhere.invalid:2").address() == "ipv4:127.0.0.1:1"
    with pytest.raises(ConfigurationError, match=r"no such host: nowhere\.invalid \(.*\), gone\.invalid"):
        Target.parse("nowhere.invalid:1,gone.invalid:2").address()


def test_the_environment_names_the_target_where_nothing_else_does(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINSERVE_TARGET", f"twinserve://{server.target}")
    with Client() as client:
        assert client.describe_model().model == "digits"
    assert Target.parse("127.0.0.1:9").text == "127.0.0.1:9"
    monkeypatch.setenv("TWINSERVE_TARGET", "127.0.0.1")
    with pytest.raises(ConfigurationError, match=r"^TWINSERVE_TARGET: '127\.0\.0\.1': the port is missing"):
        Client()
    monkeypatch.delenv("TWINSERVE_TARGET")
    assert Target.parse(None).text == "127.0.0.1:8500"


def connection(target: str, tls: TLS | None = None) -> Connection:
    return Connection.of(target, retries=0, tls=tls, token=None, metadata=None, isolated=True, channel_options=())


def test_tls_is_said_once() -> None:
    assert connection("twinserve://localhost:1?tls=on").credentials is not None
    assert connection("twinserve://localhost:1?tls=off").credentials is None
    with pytest.raises(ConfigurationError, match="in the target's URL and by the argument; give one"):
        connection("twinserve://localhost:1?tls=on", TLS())
    with pytest.raises(ConfigurationError, match="several hosts need a server_name"):
        connection("twinserve://localhost:1,localhost:2?tls=on")
    several = connection("twinserve://localhost:1,localhost:2?server_name=models")
    assert dict(several.options)["grpc.ssl_target_name_override"] == "models"


PROXIED = """
import sys
import numpy as np
from twinserve_client import Client
with Client(sys.argv[1]) as client:
    print(client.predict(np.zeros((28, 28), np.uint8)).label)
"""


def test_loopback_is_reached_past_a_proxy(server: Server) -> None:
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{dead.getsockname()[1]}"
        names = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        environment = {**os.environ, **dict.fromkeys(names, proxy)}
        environment.pop("no_proxy", None)
        port = server.target.rpartition(":")[2]
        for target in (f"127.0.0.1:{port}", f"localhost:{port}", f"twinserve://127.0.0.1:{port},localhost:{port}"):
            done = subprocess.run(
                [sys.executable, "-c", PROXIED, target],
                capture_output=True, text=True, env=environment, timeout=60, check=False,
            )  # fmt: skip
            assert done.stdout == "zero\n", done.stderr


def test_others_are_reached_through_a_proxy() -> None:
    assert "grpc.enable_http_proxy" not in dict(connection("models.example.org:8500").options)
