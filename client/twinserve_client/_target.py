"""Parse a target, and turn it into an address for gRPC.

A target is ``host:port``, several separated by commas, or a URL: ``twinserve://host:port,host:port?tls=on&ca=ca.pem``.
Addresses in gRPC's own schemes (``unix:/path``, ``dns:///name:port``, …) are accepted too.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from twinserve_client._arguments import shown
from twinserve_client.errors import ConfigurationError

DEFAULT: Final = "127.0.0.1:8500"
#: The environment variable that overrides it.
VARIABLE: Final = "TWINSERVE_TARGET"
#: Query parameters allowed in a URL.
URL_OPTIONS: Final = ("tls", "ca", "cert", "key", "server_name")

_SCHEME: Final = "twinserve://"
#: Schemes that only gRPC can interpret.
_OPAQUE: Final = ("unix:", "unix-abstract:", "vsock:", "xds:", "google-c2p:")
_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Host:
    """A host and port. ``address`` is None for a host name."""

    name: str
    port: int
    address: _Address | None

    def __str__(self) -> str:
        """``host:port``, with IPv6 in brackets."""
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether it is this machine, judging by the address or name alone."""
        if self.address is not None:
            return self.address.is_loopback or self.address.is_unspecified
        name = self.name.rstrip(".").lower()
        return name == "localhost" or name.endswith(".localhost")

    def resolved(self) -> list[Host]:
        """The addresses that a name resolves to; IPv6 only if there is no IPv4.

        Raises:
            OSError: the name cannot be resolved.
        """
        if self.address is not None:
            return [self]
        found = socket.getaddrinfo(self.name, self.port, type=socket.SOCK_STREAM)
        family = socket.AF_INET if any(entry[0] == socket.AF_INET for entry in found) else socket.AF_INET6
        names = dict.fromkeys(str(entry[4][0]) for entry in found if entry[0] == family)
        return [Host(name, self.port, ipaddress.ip_address(name)) for name in names]


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed target.

    Attributes:
        text: as given.
        hosts: empty for an address that only gRPC can interpret.
        options: the URL's query parameters; see ``URL_OPTIONS``.
    """

    text: str
    hosts: tuple[Host, ...]
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: object) -> Target:
        """Parse ``text``; None means ``TWINSERVE_TARGET``, or else the default.

        Raises:
            ConfigurationError: not an address; says what to give instead.
        """
        where = "target"
        if text is None:
            text = os.environ.get(VARIABLE, "")
            where = VARIABLE if text else where
            text = text or DEFAULT
        if not isinstance(text, str):
            raise ConfigurationError(f"{where}: {shown(text)} is not text; give host:port, for example {DEFAULT!r}")
        if not text or not text.isprintable() or " " in text:
            raise ConfigurationError(
                f"{where}: {text!r:.80} is not an address, or contains spaces; give host:port, as in {DEFAULT}"
            )
        return _parse(where, text)

    @property
    def several(self) -> bool:
        """Whether requests are spread over servers: several hosts, or a name, which may resolve to several."""
        return len(self.hosts) > 1 or any(host.address is None and not host.loopback for host in self.hosts)

    @property
    def loopback(self) -> bool:
        """Whether every host is this machine."""
        return self.text.startswith(("unix:", "unix-abstract:")) or (
            bool(self.hosts) and all(host.loopback for host in self.hosts)
        )

    def address(self) -> str:
        """The address for gRPC. Names in a list are resolved now; a single name is left to gRPC.

        Raises:
            ConfigurationError: none of several hosts can be resolved.
        """
        if not self.hosts:
            return self.text
        if len(self.hosts) == 1:
            return "dns:///" + str(self.hosts[0]).replace("%", "%25")
        return _list_of([member for _, member in self.members()])

    def members(self) -> list[tuple[str, Host]]:
        """The servers behind the target whose names can be resolved now, each with its name.

        Raises:
            ConfigurationError: none can be resolved.
        """
        found: dict[str, tuple[str, Host]] = {}
        unknown = []
        for host in self.hosts:
            try:
                found.update({str(member): (host.name, member) for member in host.resolved()})
            except OSError as error:
                unknown.append(f"{host.name} ({error.strerror})")
        if not found:
            raise ConfigurationError(f"target: {self.text}: no such host: {', '.join(unknown)}")
        return list(found.values())


def _parse(where: str, text: str) -> Target:
    if text.lower().startswith(_SCHEME):
        hosts, _, query = text[len(_SCHEME) :].partition("?")
        return Target(text, _hosts(where, text, hosts.removesuffix("/")), _url_options(where, text, query))
    if text.startswith(_OPAQUE):
        if not text.isascii() or not text.partition(":")[2]:
            raise ConfigurationError(f"{where}: {text!r:.80} names nothing after its scheme, or is not ASCII")
        return Target(text, ())
    if text.startswith("dns://") and not text.startswith("dns:///"):  # resolved by a DNS server of the caller's choice
        return Target(text, ())
    for scheme in ("dns:///", "dns:", "ipv4:", "ipv6:"):
        # In "dns:443", "dns" is a host name.
        if text.startswith(scheme) and not text.removeprefix(scheme).isdecimal():
            return Target(text, _hosts(where, text, text.removeprefix(scheme)))
    if "://" in text:
        scheme, _, rest = text.partition("://")
        plain = rest.partition("/")[0] or DEFAULT
        more = "; for TLS add ?tls=on" if scheme.lower() in ("https", "grpcs") else ""
        raise ConfigurationError(
            f"{where}: {text!r:.80}: {scheme}:// is not supported, the server speaks gRPC; "
            f"give {plain} or {_SCHEME}{plain}{more}"
        )
    return Target(text, _hosts(where, text, text))


def _hosts(where: str, text: str, listed: str) -> tuple[Host, ...]:
    return tuple(dict.fromkeys(_host(where, text, part) for part in listed.split(",")))


def _host(where: str, text: str, part: str) -> Host:
    def refuse(why: str) -> ConfigurationError:
        return ConfigurationError(f"{where}: {text!r:.200}: {why}")

    if part.startswith("["):
        name, bracket, port = part[1:].partition("]")
        if not bracket:
            raise refuse("the closing bracket is missing; write IPv6 as [::1]:8500")
        if port and not port.startswith(":"):
            raise refuse(f"{port!r:.80} follows the bracket; write IPv6 as [::1]:8500")
        port = port.removeprefix(":")
        try:
            address: _Address | None = ipaddress.IPv6Address(name)
        except ValueError:
            raise refuse(f"[{name}] is not an IPv6 address; write IPv6 as [::1]:8500") from None
    else:
        if part.count(":") > 1:
            raise refuse(f"{part} is ambiguous; write IPv6 in brackets, as [::1]:8500")
        name, _, port = part.partition(":")
        address = _ipv4(name)
        if not name:
            raise refuse("the host is missing; give host:port")
        if address is None and (len(name) > 253 or not _NAME.fullmatch(name) or _numeric(name)):
            raise refuse(f"{name!r:.80} is neither a host name (ASCII letters, digits, '-' and '.') nor an IP address")
    if not port:
        shown = f"[{name}]" if ":" in name else name
        raise refuse(f"the port is missing; give {shown}:8500 (twinserve serve listens on 8500 by default)")
    if not (port.isascii() and port.isdecimal()) or not 1 <= int(port[:20]) <= 65535:
        raise refuse(f"the port is {port!r:.80}; a port is a number from 1 to 65535")
    return Host(name, int(port), address)


def _ipv4(name: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(name)
    except ValueError:
        return None


def _numeric(name: str) -> bool:
    """Whether it is a malformed IPv4 address, which some resolvers accept all the same ("127.1")."""
    return name.rstrip(".").rpartition(".")[2].isdecimal()


def _list_of(hosts: list[Host]) -> str:
    """The addresses in gRPC's list syntax, which requires a single address family."""
    addresses = [(host.address, host.port) for host in hosts]
    if all(isinstance(address, ipaddress.IPv4Address) for address, _ in addresses):
        return "ipv4:" + ",".join(f"{address}:{port}" for address, port in addresses)
    mapped = (
        f"::ffff:{address}" if isinstance(address, ipaddress.IPv4Address) else address for address, _ in addresses
    )
    return "ipv6:" + ",".join(
        f"[{address}]:{port}".replace("%", "%25") for address, (_, port) in zip(mapped, addresses, strict=True)
    )


def _url_options(where: str, text: str, query: str) -> dict[str, str]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, strict_parsing=True, keep_blank_values=True)
    except ValueError:
        raise ConfigurationError(f"{where}: {text!r:.200}: expected name=value pairs joined by & after the ?") from None
    options = dict(pairs)
    for name, value in pairs:
        if name not in URL_OPTIONS:
            raise ConfigurationError(
                f"{where}: {text!r:.200}: unknown option {name!r}; known are {', '.join(URL_OPTIONS)}"
            )
        if not value:
            raise ConfigurationError(f"{where}: {text!r:.200}: option {name} is empty")
    if len(options) != len(pairs):
        raise ConfigurationError(f"{where}: {text!r:.200}: an option is given twice")
    if options.get("tls", "on") not in ("on", "off"):
        raise ConfigurationError(f"{where}: {text!r:.200}: tls is {options['tls']!r}; it is on or off")
    if options.get("tls") == "off" and len(options) > 1:
        raise ConfigurationError(f"{where}: {text!r:.200}: tls=off contradicts the other options")
    return options
