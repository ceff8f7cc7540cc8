"""The configuration of Envoy, run by a real one before a server with the native transport."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml

from support.server_process import ServerProcess, request, wait_until
from support.tiny_model import classes_of, items
from twinserve.v1 import predict_pb2_grpc
from twinserve_bench.certificates import make_certificates, sign_certificate
from twinserve_client import TLS, Client, InvalidInputError, Prediction, UnavailableError

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "envoy"
ENVOY = Path(sysconfig.get_path("scripts")) / "envoy"
#: A message that it lets through is at most that long; the file says 64 MiB, which takes a test too long.
MAX_BYTES = 1 << 20


class Envoy:
    """Envoy with the files of ``deploy/envoy``, of which paths, ports and the bound of messages are replaced."""

    def __init__(self, folder: Path, upstream: int) -> None:
        self.folder = make_certificates(folder)
        self.socket = folder / "admin.sock"
        for name in ("server.yaml", "clients.yaml", "envoy.yaml"):
            text = (CONFIGURATION / name).read_text().replace("/etc/envoy", str(folder))
            (folder / name).write_text(text.replace("/run/envoy", str(folder)))
        document = yaml.safe_load((folder / "envoy.yaml").read_text())
        resources = document["static_resources"]
        (listener,) = resources["listeners"]
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
        buffer = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]
        buffer["typed_config"]["max_request_bytes"] = MAX_BYTES
        (endpoint,) = resources["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
        endpoint["endpoint"]["address"]["socket_address"]["port_value"] = upstream
        (folder / "envoy.yaml").write_text(yaml.safe_dump(document))

    def __enter__(self) -> Envoy:
        command = [str(ENVOY), "-c", str(self.folder / "envoy.yaml"), "--use-dynamic-base-id", "--concurrency", "1"]
        command += ["--drain-time-s", "2", "--drain-strategy", "immediate"]
        self.log = self.folder / "envoy.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(lambda: self._healthy() or self.process.poll() is not None, 60, self.log.read_text)
            assert self.process.poll() is None, self.log.read_text()
            (listener,) = json.loads(self.ask("GET", "/listeners?format=json"))["listener_statuses"]
        except BaseException:
            self.process.kill()
            raise
        self.target = f"127.0.0.1:{listener['local_address']['socket_address']['port_value']}"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)

    def ask(self, method: str, path: str) -> str:
        """An answer of its administration interface."""
        connection = http.client.HTTPConnection("envoy", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.socket))
        connection.request(method, path)
        try:
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def certificate(self) -> str:
        """The one that it shows to a new connection."""
        host, _, port = self.target.rpartition(":")
        command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-alpn", "h2"]
        shown = subprocess.run(command, check=False, input="", capture_output=True, text=True).stdout
        begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----\n"
        return begin + shown.partition(begin)[2].partition(end)[0] + end

    def client(self, **arguments: object) -> Client:
        """A client with a certificate of the authority."""
        tls = TLS(ca=self.folder / "ca.pem", cert=self.folder / "client.pem", key=self.folder / "client.key")
        return Client(self.target, tls=tls, **arguments)  # type: ignore[arg-type]

    def _healthy(self) -> bool:
        try:
            return "health_flags::healthy" in self.ask("GET", "/clusters")
        except OSError:
            return False


@pytest.fixture(scope="module")
def server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("server"), "--transport", "native") as process:
        yield process


@pytest.fixture(scope="module")
def envoy(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    with Envoy(tmp_path_factory.mktemp("envoy"), server.grpc_port) as process:
        yield process


def test_a_client_with_a_certificate_is_answered(envoy: Envoy) -> None:
    pixels = items(3)
    with envoy.client() as client:
        assert list(client.predict(pixels).classes) == classes_of(pixels).tolist()


def test_an_error_arrives_with_its_details(envoy: Envoy) -> None:
    with envoy.client() as client, pytest.raises(InvalidInputError) as caught:
        client.predict(np.zeros((1, 7, 7), np.uint8))
    (violation,) = caught.value.violations
    assert violation.field == "input.shape"


def test_a_client_without_a_certificate_is_refused(envoy: Envoy) -> None:
    tls = TLS(ca=envoy.folder / "ca.pem")
    with Client(envoy.target, tls=tls, retries=0) as client, pytest.raises(UnavailableError):
        client.predict(items(1), timeout=10)


def test_a_message_beyond_the_bound_never_reaches_the_server(envoy: Envoy, server: ServerProcess) -> None:
    before = server.metric("twinserve_rpcs_total")
    stub = predict_pb2_grpc.PredictServiceStub(channel(envoy))
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request(items(MAX_BYTES // 16 + 1)), timeout=30)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert server.metric("twinserve_rpcs_total") == before


def test_a_stream_is_refused(envoy: Envoy) -> None:
    stub = predict_pb2_grpc.PredictServiceStub(channel(envoy))
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.PredictStream(iter([request(items(1))]), timeout=30))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "not served behind this proxy" in str(caught.value.details())


def test_renewed_certificates_are_taken_while_clients_are_served(envoy: Envoy) -> None:
    with envoy.client() as before:
        before.predict(items(1))
        sign_certificate(envoy.folder, "renewed")
        for suffix in ("key", "pem"):
            (envoy.folder / f"renewed.{suffix}").replace(envoy.folder / f"server.{suffix}")
        wait_until(lambda: envoy.certificate() == (envoy.folder / "server.pem").read_text(), 60, envoy.log.read_text)
        with envoy.client() as after:
            after.predict(items(1))
        before.predict(items(1))


def test_what_is_under_way_when_it_drains_is_answered(envoy: Envoy) -> None:
    begun, answered = threading.Event(), list[Prediction]()
    refused: list[str] = []

    def ask() -> None:
        with envoy.client() as client:
            while not refused:
                try:
                    answered.append(client.predict(items(2), timeout=10))
                except UnavailableError as error:
                    refused.append(str(error))
                begun.set()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait(60)
    envoy.ask("POST", "/drain_listeners?graceful")
    for thread in threads:
        thread.join(120)
    # Connections end with a GOAWAY; only a new one is refused, and that request was never accepted.
    assert answered
    assert all("connect" in reason.lower() for reason in refused), refused


def channel(envoy: Envoy) -> grpc.Channel:
    """A connection of gRPC's own client."""
    read = [(envoy.folder / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem")]
    return grpc.secure_channel(envoy.target, grpc.ssl_channel_credentials(*read))
