"""Connections: TLS, tokens, gRPC's settings, connections of one's own."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from support.client_face import Face
from support.digit_server import Server, digit_server
from twinserve_client import TLS, Client, ConfigurationError, UnavailableError
from twinserve_client._channel import Connection

Images = npt.NDArray[np.uint8]


@pytest.fixture
def tls_server(certificates: Path) -> Iterator[Server]:
    """A server that wants a client certificate."""
    pair = ((certificates / "server.key").read_bytes(), (certificates / "server.pem").read_bytes())
    authority = (certificates / "ca.pem").read_bytes()
    with digit_server(grpc.ssl_server_credentials([pair], authority, require_client_auth=True)) as running:
        yield running


def test_mutual_tls(face: Face, tls_server: Server, certificates: Path, digits: Images) -> None:
    tls = TLS(
        ca=certificates / "ca.pem",
        cert=certificates / "client.pem",
        key=certificates / "client.key",
        server_name="digits.test",
    )
    client = face.open(tls_server.target, tls=tls, token="secret")
    assert face.run(client.predict(digits)).labels[4] == "four"
    assert tls_server.behaviour.seen["Predict"]["authorization"] == "Bearer secret"


def test_an_unknown_certificate_is_refused(face: Face, tls_server: Server, certificates: Path, digits: Images) -> None:
    client = face.open(tls_server.target, tls=TLS(ca=certificates / "client.pem"), retries=0)
    with pytest.raises(UnavailableError):
        face.run(client.predict(digits))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"tls\.ca: .*nowhere\.pem cannot be read \(No such file"):
        Client(tls=TLS(ca=tmp_path / "nowhere.pem"))


def test_a_certificate_needs_its_key(certificates: Path) -> None:
    with pytest.raises(ConfigurationError, match="cert and key belong together"):
        Client(tls=TLS(cert=certificates / "client.pem"))


@pytest.mark.parametrize("target", ["", " 127.0.0.1:8500"])
def test_a_target_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(ConfigurationError, match=r"target: .* is not an address, or contains spaces; give host:port"):
        Client(target)


def test_a_token_in_plain_text_over_a_network_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"the token goes to example\.org:8500 unencrypted"):
        Client("example.org:8500", token="secret").close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Client("127.0.0.1:8500", token="secret").close()
        Client("localhost:8500", token="secret").close()


@pytest.mark.parametrize(("isolated", "connections"), [(True, 3), (False, 1)])
def test_every_client_has_a_connection_of_its_own(
    face: Face, server: Server, digits: Images, isolated: bool, connections: int
) -> None:
    peers = set()
    for _ in range(3):
        face.run(face.open(server.target, isolated=isolated).predict(digits))
        peers.add(server.behaviour.peer)
    assert len(peers) == connections


def test_the_callers_options_are_stronger() -> None:
    connection = Connection.of(
        "127.0.0.1:1",
        retries=0,
        tls=None,
        token=None,
        metadata=None,
        isolated=True,
        channel_options=[("grpc.keepalive_time_ms", 77), ("grpc.lb_policy_name", "round_robin")],
    )
    options = dict(connection.options)
    assert options["grpc.keepalive_time_ms"] == 77
    assert options["grpc.lb_policy_name"] == "round_robin"
    assert options["grpc.enable_retries"] == 0
    assert options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"] == 64 * 1024 * 1024


FRESH = """
import sys
import twinserve_client
heavy = ("torch", "typer", "rich", "click", "PIL", "opentelemetry", "grpc_status", "google.rpc", "twinserve_server",
         "twinserve_models", "twinserve_loadtest", "locust", "gevent", "prometheus_client")
print([name for name in heavy if name in sys.modules])
print(twinserve_client.__version__)
"""


def test_importing_the_sdk_loads_nothing_that_it_does_not_need() -> None:
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    loaded, version = done.stdout.splitlines()
    assert loaded == "[]"
    assert version[0].isdigit()


GEVENT = """
from gevent import monkey
monkey.patch_all()
import grpc.experimental.gevent
grpc.experimental.gevent.init_gevent()
import sys
import gevent
import numpy as np
from twinserve_client import Client

def user(number):
    image = np.zeros((28, 28), np.uint8)
    image[0, 0] = number
    with Client(sys.argv[1]) as client:
        client.wait_until_ready(10)
        return client.predict(image).label, [answer.label for answer in client.predict_stream([image] * 3)]

users = [gevent.spawn(user, number) for number in range(5)]
gevent.joinall(users, raise_error=True)
print([user.value for user in users])
"""


def test_the_client_works_in_greenlets(server: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GEVENT, server.target], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    names = ["zero", "one", "two", "three", "four"]
    assert done.stdout.strip() == str([(name, [name] * 3) for name in names])
