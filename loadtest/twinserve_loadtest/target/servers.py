"""The servers behind a target, each with its own address: measurements are kept by server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from twinserve_client import TLS, ConfigurationError
from twinserve_client._target import Target
from twinserve_host.http import is_loopback
from twinserve_loadtest.target.error import TargetError

Servers = Sequence["Server"]


@dataclass(frozen=True, slots=True)
class Server:
    """One server under test.

    Attributes:
        address: host:port, or whatever else gRPC dials.
        tls: None: plain text, or what a URL in ``address`` says.
    """

    address: str
    tls: TLS | None = None

    @property
    def on_this_machine(self) -> bool:
        """Whether it shares this machine with the load generator, as far as the address tells."""
        target = Target.parse(self.address)
        if target.hosts:
            return any(is_loopback(host.name) for host in target.hosts)
        return self.address.startswith("unix:")


def joined(targets: Sequence[str]) -> str:
    """One target of several that were given one by one, as the SDK takes it.

    Raises:
        TargetError: a URL is among several: only inside one URL do hosts share its options.
    """
    url = next((target for target in targets if "://" in target), None)
    if url is not None and len(targets) > 1:
        raise TargetError(
            f"--target: {url} cannot be joined with others; list all hosts in one URL: twinserve://host:port,host:port"
        )
    return ",".join(targets)


def servers_of(target: str, tls: TLS | None = None) -> list[Server]:
    """The servers that ``target`` names, resolved once: those that a name has when the measurement begins.

    Args:
        target: as the SDK takes it: host:port, several with commas, or a URL.
        tls: for all of them; None: as the URL says, else plain text.

    Raises:
        TargetError: it is no target, or none of its names is known.
    """
    try:
        parsed = Target.parse(target)
        if not parsed.several:
            return [Server(target, tls)]
        if tls is not None and parsed.options:
            raise TargetError(f"--target: {target} says how to encrypt, and so do the --tls options; give one of them")
        members = parsed.members()
    except ConfigurationError as error:
        raise TargetError(str(error)) from None
    options = {name: value for name, value in parsed.options.items() if name != "tls"}
    if options or parsed.options.get("tls") == "on":
        tls = TLS(**options)
    return [Server(str(host), tls and _for(tls, name)) for name, host in members]


def metrics_of(servers: Servers, urls: Sequence[str]) -> tuple[str, ...]:
    """The metrics addresses, each of them given by itself or several with commas; in the order of the servers.

    Raises:
        TargetError: some servers would be left out, or others counted in.
    """
    listed = tuple(part for url in urls for part in url.split(",") if part)
    if listed and len(listed) != len(servers):
        raise TargetError(
            f"--metrics-url: {len(listed)} for {len(servers)} servers; give one for each, in their order: "
            + ", ".join(server.address for server in servers)
        )
    if twice := next((url for number, url in enumerate(listed) if url in listed[:number]), None):
        raise TargetError(f"--metrics-url: {twice} is given twice; each server has its own")
    return listed


def _for(tls: TLS, name: str) -> TLS:
    """Each server shows a certificate for its own name, unless all of them share one."""
    return tls if tls.server_name is not None else replace(tls, server_name=name)
