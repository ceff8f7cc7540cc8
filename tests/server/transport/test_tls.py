"""A server with a certificate: who gets in, who does not, and what is said of files that cannot be used."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from support.server_process import TLS_TRANSPORTS, ServerProcess, wait_until
from support.tiny_model import classes_of, items
from twinserve_bench.certificates import make_certificates
from twinserve_client import TLS, CallError, Client, InvalidInputError, UnavailableError
from twinserve_server.serve import run


@pytest.fixture(scope="module", params=TLS_TRANSPORTS)
def server(
    request: pytest.FixtureRequest, tiny_models: Path, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    options = ("--transport", request.param, "--gateways", "1")
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("server"), *options, certificates=certificates) as process:
        yield process


@pytest.fixture(scope="module", params=TLS_TRANSPORTS)
def mutual_server(
    request: pytest.FixtureRequest, tiny_models: Path, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """It lets in clients of the authority only."""
    options = ("--transport", request.param, "--gateways", "1", "--tls-client-ca", str(certificates / "ca.pem"))
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("server"), *options, certificates=certificates) as process:
        yield process


class TestWithACertificate:
    @pytest.fixture
    def client(self, server: ServerProcess, certificates: Path) -> Iterator[Client]:
        with Client(server.target, tls=TLS(ca=certificates / "ca.pem"), retries=0) as client:
            yield client

    def test_a_client_that_knows_the_authority_is_answered(self, client: Client) -> None:
        pixels = items(3)
        assert list(client.predict(pixels).classes) == classes_of(pixels).tolist()

    def test_an_error_arrives_with_its_details(self, client: Client) -> None:
        with pytest.raises(InvalidInputError) as caught:
            client.predict(np.zeros((1, 7, 7), np.uint8))
        (violation,) = caught.value.violations
        assert violation.field == "input.shape"

    def test_a_stream_is_answered_in_order(self, client: Client) -> None:
        pixels = items(300, seed=3)
        answers = list(client.predict_stream(pixels))
        assert [int(answer.classes[0]) for answer in answers] == classes_of(pixels).tolist()

    def test_a_name_that_the_certificate_does_not_hold_is_not_trusted(
        self, server: ServerProcess, certificates: Path
    ) -> None:
        tls = TLS(ca=certificates / "ca.pem", server_name="elsewhere.test")
        with Client(server.target, tls=tls, retries=0) as client, pytest.raises(UnavailableError):
            client.predict(items(1), timeout=10)

    def test_a_client_in_plain_text_is_refused_at_once(self, server: ServerProcess, client: Client) -> None:
        with Client(server.target, retries=0) as plain, pytest.raises(UnavailableError, match="Socket closed"):
            plain.predict(items(1), timeout=30)
        assert client.predict(items(1)).classes.size == 1


class TestWithAnAuthorityForClients:
    def test_a_client_with_a_certificate_of_it_is_answered(
        self, mutual_server: ServerProcess, certificates: Path
    ) -> None:
        pixels = items(3)
        tls = TLS(ca=certificates / "ca.pem", cert=certificates / "client.pem", key=certificates / "client.key")
        with Client(mutual_server.target, tls=tls, retries=0) as client:
            assert list(client.predict(pixels).classes) == classes_of(pixels).tolist()
            assert [int(answer.classes[0]) for answer in client.predict_stream(pixels)] == classes_of(pixels).tolist()

    def test_a_client_without_a_certificate_is_refused(self, mutual_server: ServerProcess, certificates: Path) -> None:
        tls = TLS(ca=certificates / "ca.pem")
        with Client(mutual_server.target, tls=tls, retries=0) as client, pytest.raises(UnavailableError):
            client.predict(items(1), timeout=30)

    def test_a_client_with_a_certificate_of_another_authority_is_refused(
        self, mutual_server: ServerProcess, certificates: Path, tmp_path: Path
    ) -> None:
        strangers = make_certificates(tmp_path)
        tls = TLS(ca=certificates / "ca.pem", cert=strangers / "client.pem", key=strangers / "client.key")
        with Client(mutual_server.target, tls=tls, retries=0) as client, pytest.raises(UnavailableError):
            client.predict(items(1), timeout=30)


class TestRenewedFiles:
    """They are for the connections that come; no request fails, also while certificate and key do not fit together."""

    @pytest.fixture
    def folder(self, certificates: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(certificates, tmp_path / "tls"))

    @pytest.fixture(params=TLS_TRANSPORTS)
    def server(
        self, request: pytest.FixtureRequest, tiny_models: Path, folder: Path, tmp_path: Path
    ) -> Iterator[ServerProcess]:
        options = ("--transport", request.param, "--gateways", "1")
        with ServerProcess(tiny_models, tmp_path / "server", *options, certificates=folder) as process:
            yield process

    def test_are_served_under_load_without_a_failure(self, server: ServerProcess, folder: Path) -> None:
        pairs = {name: [(folder / f"{name}.{part}").read_text() for part in ("pem", "key")] for name in PAIRS}
        failures, answered, stop = list[BaseException](), [0], threading.Event()

        def load() -> None:
            while not stop.is_set():
                # A connection for each few requests: each is one more handshake, in whatever state the files are.
                with Client(server.target, tls=TLS(ca=folder / "ca.pem"), retries=0) as client:
                    for _ in range(3):
                        try:
                            client.predict(items(1), timeout=30)
                            answered[0] += 1
                        except CallError as error:
                            failures.append(error)

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for count, name in enumerate(("client", "server") * 3, 1):
                cert, key = pairs[name]
                replace(folder / "server.pem", cert)
                wait_until(lambda count=count: server.log().count("tls_files_not_read") == count, 30, server.log)
                replace(folder / "server.key", key)
                wait_until(lambda cert=cert: served(server) == cert, 30, server.log)
                mark = answered[0]
                wait_until(lambda mark=mark: answered[0] > mark + 9 or failures, 60)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not failures
        assert answered[0] >= 60

    def test_that_cannot_be_used_do_not_keep_a_gateway_from_starting(self, server: ServerProcess, folder: Path) -> None:
        before = served(server)
        replace(folder / "server.key", "half a ke")
        server.kill("gateway-0")
        server.wait_restarted("gateway-0")
        assert served(server) == before
        assert "--tls-key: " in server.log()


PAIRS = ("server", "client")


def replace(path: Path, text: str) -> None:
    """As whoever renews certificates does it: whole or not at all."""
    partial = path.with_suffix(".new")
    partial.write_text(text)
    partial.replace(path)


def served(server: ServerProcess) -> str:
    """The certificate that a new connection meets."""
    return ssl.get_server_certificate(("127.0.0.1", server.grpc_port))


class TestVersionsOfTls:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
    def test_older_than_1_2_are_refused(self, server: ServerProcess, version: ssl.TLSVersion) -> None:
        context = client_context(version)
        with pytest.raises((ssl.SSLError, ConnectionError)) as caught:
            handshake(server, context)
        # It is the server that refuses: the client had something to offer.
        assert "NO_PROTOCOLS_AVAILABLE" not in str(caught.value)
        assert "NO_CIPHERS_AVAILABLE" not in str(caught.value)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_from_1_2_on_are_spoken(self, server: ServerProcess, version: ssl.TLSVersion) -> None:
        assert handshake(server, client_context(version)) == version.name.replace("_", ".")


def client_context(version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client of this version alone, with whatever ciphers it had in its time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    return context


def handshake(server: ServerProcess, context: ssl.SSLContext) -> str | None:
    """The version agreed upon."""
    with (
        socket.create_connection(("127.0.0.1", server.grpc_port), timeout=30) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        return wrapped.version()


class TestACertificateThatIsNoGood:
    def test_of_another_authority(self, server: ServerProcess, tmp_path: Path) -> None:
        strangers = make_certificates(tmp_path)
        tls = TLS(ca=strangers / "ca.pem")
        with Client(server.target, tls=tls, retries=0) as client, pytest.raises(UnavailableError):
            client.predict(items(1), timeout=30)

    def test_that_has_expired(self, tiny_models: Path, certificates: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(certificates, tmp_path / "tls"))
        for part in ("pem", "key"):
            shutil.copy(folder / f"expired.{part}", folder / f"server.{part}")
        with ServerProcess(tiny_models, tmp_path / "server", "--gateways", "1", certificates=folder) as expired:
            tls = TLS(ca=folder / "ca.pem")
            with Client(expired.target, tls=tls, retries=0) as client, pytest.raises(UnavailableError) as caught:
                client.predict(items(1), timeout=30)
        assert "CERTIFICATE_VERIFY_FAILED" in caught.value.message

    def test_of_a_client_that_has_expired(self, mutual_server: ServerProcess, certificates: Path) -> None:
        tls = TLS(ca=certificates / "ca.pem", cert=certificates / "expired.pem", key=certificates / "expired.key")
        with Client(mutual_server.target, tls=tls, retries=0) as client, pytest.raises(UnavailableError):
            client.predict(items(1), timeout=30)


class TestFilesThatCannotBeUsed:
    """Exit code 2, before any process is started, with a line that names option and file."""

    @pytest.fixture
    def refused(self, tiny_models: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
        def start(**given: Path) -> str:
            assert run({"models": tiny_models, **given, "build": False}) == 2
            return capsys.readouterr().err.strip()

        return start

    @pytest.fixture
    def broken(self, certificates: Path, tmp_path: Path) -> Path:
        """A folder with files that look like PEM at first sight, and some that do not."""
        (tmp_path / "text.pem").write_text("hello\n")
        (tmp_path / "torn.pem").write_text((certificates / "server.pem").read_text()[:200])
        command = ["openssl", "ec", "-aes128", "-passout", "pass:secret"]
        with (tmp_path / "locked.key").open("wb") as file:
            subprocess.run(
                command,
                stdin=(certificates / "server.key").open("rb"),
                stdout=file,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        return tmp_path

    def test_one_of_a_pair(self, refused: Callable[..., str]) -> None:
        assert refused(tls_cert=Path("a.pem")) == "error: --tls-cert a.pem: needs --tls-key as well"
        assert refused(tls_key=Path("a.key")) == "error: --tls-key a.key: needs --tls-cert as well"
        assert (
            refused(tls_client_ca=Path("ca.pem"))
            == "error: --tls-client-ca ca.pem: needs --tls-cert and --tls-key as well"
        )

    @pytest.mark.parametrize("option", ["cert", "key", "client_ca"])
    def test_one_that_is_not_there(self, refused: Callable[..., str], certificates: Path, option: str) -> None:
        given = {"tls_cert": certificates / "server.pem", "tls_key": certificates / "server.key"}
        said = refused(**{**given, f"tls_{option}": Path("/nowhere/a.pem")})
        flag = f"--tls-{option.replace('_', '-')}"
        assert said == f"error: {flag}: /nowhere/a.pem cannot be read (No such file or directory)"

    @pytest.mark.parametrize(
        ("option", "what"), [("cert", "certificate"), ("key", "private key"), ("client_ca", "certificate")]
    )
    def test_one_that_is_no_pem_file(
        self, refused: Callable[..., str], certificates: Path, broken: Path, option: str, what: str
    ) -> None:
        given = {"tls_cert": certificates / "server.pem", "tls_key": certificates / "server.key"}
        said = refused(**{**given, f"tls_{option}": broken / "text.pem"})
        flag = f"--tls-{option.replace('_', '-')}"
        assert said == f"error: {flag}: {broken}/text.pem holds no {what} in PEM form"

    def test_a_torn_certificate(self, refused: Callable[..., str], certificates: Path, broken: Path) -> None:
        said = refused(tls_cert=broken / "torn.pem", tls_key=certificates / "server.key")
        assert said.startswith(f"error: --tls-cert, --tls-key: {broken}/torn.pem and {certificates}/server.key cannot")
        said = refused(
            tls_cert=certificates / "server.pem", tls_key=certificates / "server.key", tls_client_ca=broken / "torn.pem"
        )
        assert said.startswith(f"error: --tls-client-ca: {broken}/torn.pem cannot be used")

    def test_a_key_with_a_password(self, refused: Callable[..., str], certificates: Path, broken: Path) -> None:
        said = refused(tls_cert=certificates / "server.pem", tls_key=broken / "locked.key")
        assert said.endswith("give PEM files, the key without a password")

    def test_the_key_of_another_certificate(self, refused: Callable[..., str], certificates: Path) -> None:
        said = refused(tls_cert=certificates / "server.pem", tls_key=certificates / "client.key")
        key, cert = certificates / "client.key", certificates / "server.pem"
        assert said == f"error: --tls-key: {key} is not the key of the certificate in {cert}"
