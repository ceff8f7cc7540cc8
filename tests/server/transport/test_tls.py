"""A server with a certificate: who gets in, who does not, and what is said of files that cannot be used."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from support.certificates import make_certificates
from support.server_process import TRANSPORTS, ServerProcess
from support.tiny_model import classes_of, items
from twinserve_client import TLS, Client, InvalidInputError, UnavailableError
from twinserve_server.serve import run


@pytest.fixture(scope="module", params=TRANSPORTS)
def server(
    request: pytest.FixtureRequest, tiny_models: Path, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    options = ("--transport", request.param, "--gateways", "1")
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("server"), *options, certificates=certificates) as process:
        yield process


@pytest.fixture(scope="module", params=TRANSPORTS)
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


def test_a_gateway_reads_the_files_when_it_starts(tiny_models: Path, certificates: Path, tmp_path: Path) -> None:
    """Renewed files are served by the gateways that start after that, without a restart of the server."""
    folder = tmp_path / "tls"
    shutil.copytree(certificates, folder)
    with ServerProcess(tiny_models, tmp_path / "server", "--gateways", "1", certificates=folder) as server:
        address = ("127.0.0.1", server.grpc_port)
        assert ssl.get_server_certificate(address) == (certificates / "server.pem").read_text()
        shutil.copy(folder / "client.pem", folder / "server.pem")
        shutil.copy(folder / "client.key", folder / "server.key")
        server.kill("gateway-0")
        server.wait_restarted("gateway-0")
        assert ssl.get_server_certificate(address) == (certificates / "client.pem").read_text()


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
