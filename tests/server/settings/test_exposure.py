"""Listening for other machines in plain text must be meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twinserve_host.exposure import is_private
from twinserve_server.serve import run
from twinserve_server.settings.exposure import ExposureError, listening
from twinserve_server.settings.read import read_settings
from twinserve_server.settings.server import ServerSettings

PEM = {"tls_cert": Path("server.pem"), "tls_key": Path("server.key")}
Make = Callable[..., ServerSettings]


@pytest.fixture
def settings() -> Make:
    def make(**given: Any) -> ServerSettings:
        return read_settings(given)

    return make


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_is_private(host: str) -> None:
    assert is_private(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "2001:db8::7", "nowhere.invalid"])
def test_everything_else_is_not(host: str) -> None:
    assert not is_private(host)


def test_the_default_is_loopback_in_plain_text(settings: Make) -> None:
    beside = listening(settings())
    assert (beside.metrics_host, beside.metrics_tls) == ("127.0.0.1", False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"host": "0.0.0.0"}, "--host 0.0.0.0: other machines could reach this port"),
        ({"metrics_host": "10.0.0.7"}, "--metrics-host 10.0.0.7: other machines could reach this port"),
    ],
)
def test_plain_text_for_others_is_refused_unless_it_is_meant(settings: Make, given: dict[str, str], said: str) -> None:
    with pytest.raises(ExposureError) as caught:
        listening(settings(**given))
    assert caught.value.message.startswith(said)
    assert "--tls-cert and --tls-key" in caught.value.message
    assert "--insecure" in caught.value.message
    listening(settings(**given, insecure=True))
    listening(settings(**given, **PEM))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"host": "0.0.0.0", "insecure": True},
            "--host 0.0.0.0: --transport native does not bound the size of messages",
        ),
        (PEM, "--transport native does not support TLS; leave out --tls-cert, or choose fast or aio"),
    ],
)
def test_the_native_transport_is_for_this_machine(settings: Make, given: dict[str, Any], said: str) -> None:
    listening(settings(transport="native"))
    with pytest.raises(ExposureError) as caught:
        listening(settings(transport="native", **given))
    assert caught.value.message.startswith(said)


def test_metrics_follow_grpc_to_other_machines_and_are_encrypted_there(settings: Make) -> None:
    beside = listening(settings(host="0.0.0.0", **PEM))
    assert (beside.metrics_host, beside.metrics_tls) == ("0.0.0.0", True)
    beside = listening(settings(host="0.0.0.0", metrics_host="127.0.0.1", **PEM))
    assert (beside.metrics_host, beside.metrics_tls) == ("127.0.0.1", False)


def test_the_command_ends_with_2_and_one_line(tiny_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run({"models": tiny_models, "host": "0.0.0.0", "port": 0, "metrics_port": 0, "build": False}) == 2
    assert capsys.readouterr().err.startswith("error: --host 0.0.0.0: other machines could reach this port")


class TestAdminCalls:
    """A port of their own protects nothing where whoever reaches one port reaches all."""

    def test_stay_on_the_grpc_port_of_a_private_server(self, settings: Make) -> None:
        assert listening(settings()).admin is None

    @pytest.mark.parametrize(
        "given",
        [
            {"tokens": Path("tokens")},
            {**PEM, "tls_client_ca": Path("clients.pem")},
            {"host": "0.0.0.0", "insecure": True},
            {"host": "0.0.0.0", **PEM},
        ],
        ids=["tokens", "client certificates", "plain text", "TLS"],
    )
    def test_have_one_on_loopback_otherwise(self, settings: Make, given: dict[str, Any]) -> None:
        assert listening(settings(**given)).admin == ("127.0.0.1", 8501)
        assert listening(settings(**given, port=0)).admin == ("127.0.0.1", 0)

    def test_have_the_one_that_is_asked_for(self, settings: Make) -> None:
        assert listening(settings(admin_port=9000)).admin == ("127.0.0.1", 9000)
        assert listening(settings(admin_host="127.0.0.2")).admin == ("127.0.0.2", 8501)

    def test_leave_the_machine_encrypted_or_because_it_is_meant(self, settings: Make) -> None:
        with pytest.raises(ExposureError, match=r"^--admin-host 0\.0\.0\.0: other machines"):
            listening(settings(admin_host="0.0.0.0"))
        assert listening(settings(admin_host="0.0.0.0", **PEM)).admin == ("0.0.0.0", 8501)
