"""What may be named as servers under test, and what does not fit together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twinserve_client import TLS
from twinserve_loadtest.target.error import TargetError
from twinserve_loadtest.target.servers import Server, joined, metrics_of, servers_of

PAIR = [Server("127.0.0.1:1"), Server("127.0.0.1:2")]


def test_targets_one_by_one_are_those_of_a_list() -> None:
    assert servers_of(joined(["127.0.0.1:1", "127.0.0.1:2"])) == servers_of("127.0.0.1:1,127.0.0.1:2") == PAIR


def test_one_server_stays_as_it_was_written() -> None:
    assert servers_of("localhost:8500") == [Server("localhost:8500")]
    assert servers_of("unix:/run/x") == [Server("unix:/run/x")]


def test_each_server_shows_a_certificate_for_its_own_name_unless_all_share_one() -> None:
    ca = TLS(ca="ca.pem")
    assert [server.tls for server in servers_of("127.0.0.1:1,127.0.0.2:2", ca)] == [
        replace(ca, server_name="127.0.0.1"),
        replace(ca, server_name="127.0.0.2"),
    ]
    shared = servers_of("twinserve://127.0.0.1:1,127.0.0.2:2?ca=ca.pem&server_name=twin")
    assert [server.tls for server in shared] == [replace(ca, server_name="twin")] * 2


@pytest.mark.parametrize(
    ("address", "here"),
    [("127.0.0.1:1", True), ("[::1]:1", True), ("localhost:1", True), ("unix:/x", True), ("10.0.0.7:1", False)],
)
def test_a_server_on_this_machine_is_known_by_its_address(address: str, here: bool) -> None:
    assert Server(address).on_this_machine is here


@pytest.mark.parametrize("urls", [["http://a:1", "http://b:1"], ["http://a:1,http://b:1"]])
def test_metrics_go_with_the_servers_in_their_order(urls: list[str]) -> None:
    assert metrics_of(PAIR, urls) == ("http://a:1", "http://b:1")
    assert metrics_of(PAIR, []) == ()


@pytest.mark.parametrize(
    ("urls", "text"),
    [
        (["http://a:1"], "--metrics-url: 1 for 2 servers; give one for each, in their order: 127.0.0.1:1, 127.0.0.1:2"),
        (["http://a:1", "http://a:1"], "--metrics-url: http://a:1 is given twice"),
    ],
)
def test_metrics_that_would_leave_a_server_out_are_refused(urls: list[str], text: str) -> None:
    with pytest.raises(TargetError, match=text):
        metrics_of(PAIR, urls)


@pytest.mark.parametrize(
    ("target", "tls", "text"),
    [
        ("127.0.0.1:1,127.0.0.1", None, "the port is missing"),
        ("twinserve://127.0.0.1:1,127.0.0.1:2?tls=on", TLS(ca="ca.pem"), "and so do the --tls options"),
    ],
)
def test_what_is_no_list_of_servers_is_said(target: str, tls: TLS | None, text: str) -> None:
    with pytest.raises(TargetError, match=text):
        servers_of(target, tls)


def test_a_url_takes_all_hosts_itself() -> None:
    with pytest.raises(TargetError, match="list all hosts in one URL"):
        joined(["twinserve://127.0.0.1:1", "127.0.0.1:2"])
