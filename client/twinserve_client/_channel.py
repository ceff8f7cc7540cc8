"""How a client connects: target, TLS, token, gRPC channel options."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Final

import grpc

from twinserve_client import _arguments
from twinserve_client._environment import VARIABLE, version
from twinserve_client._retry import RetryPolicy, retry_policy, service_config
from twinserve_client._target import Host, Target
from twinserve_client._tensor import MAX_MESSAGE_BYTES
from twinserve_client.errors import ConfigurationError

Option = tuple[str, Any]
Metadata = tuple[tuple[str, str], ...]

#: What gRPC allows in a metadata key.
_HEADER: Final = re.compile(r"(?!grpc-)[0-9a-z_.-]+(?<!-bin)")

#: Sensible for one machine and for a data centre; the caller's ``channel_options`` come last and win.
_DEFAULTS: Final[tuple[Option, ...]] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Detects a dead connection within 40 s, even when idle; the server allows a ping every 10 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC core ignores a shorter keepalive timeout than this one, whose default is 60 s.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # With gRPC's default of 120 s a client would stay away from a server that has long been back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True, slots=True)
class TLS:
    """TLS settings of the connection. By default, the certificate authorities that gRPC ships are trusted.

    Attributes:
        ca: PEM file of the authority that signed the server's certificate.
        cert: PEM file of the client certificate (mTLS); needs ``key``.
        key: PEM file of the client certificate's private key.
        server_name: the name in the server's certificate, if it differs from the target's host.
    """

    ca: str | PathLike[str] | None = None
    cert: str | PathLike[str] | None = None
    key: str | PathLike[str] | None = None
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises:
            ConfigurationError: a file cannot be read or is not PEM, or only one of ``cert`` and ``key`` is given.
        """
        if (self.cert is None) != (self.key is None):
            raise ConfigurationError("tls: cert and key belong together; give both or neither")
        _arguments.text("tls.server_name", self.server_name, ConfigurationError)
        return grpc.ssl_channel_credentials(
            root_certificates=_read("tls.ca", self.ca),
            private_key=_read("tls.key", self.key),
            certificate_chain=_read("tls.cert", self.cert),
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything needed to open a channel; see ``Client`` for the arguments."""

    target: Target
    options: tuple[Option, ...]
    credentials: grpc.ChannelCredentials | None
    #: Whether a call that the server refuses for overload is sent again.
    retry_exhausted: bool
    #: May hold the token, so it is left out of the repr.
    metadata: Metadata | None = field(repr=False)

    @classmethod
    def of(
        cls,
        target: str | None,
        *,
        retries: RetryPolicy | int | None,
        retry_exhausted: bool = False,
        tls: TLS | None,
        token: str | None,
        metadata: Mapping[str, str] | None,
        isolated: bool,
        channel_options: Sequence[Option],
    ) -> Connection:
        """Check a client's arguments.

        Raises:
            ConfigurationError: names the argument and what is wrong with it.
        """
        parsed = Target.parse(target)
        tls = _tls(parsed, tls)
        token = os.environ.get(VARIABLE) if token is None else token
        if token is not None and not _printable(token):
            raise ConfigurationError("token: give printable ASCII text without a line break")
        if token and tls is None and not parsed.loopback:
            warnings.warn(
                f"the token goes to {parsed.text} unencrypted; give tls=TLS(...) unless the network is trusted",
                stacklevel=3,
            )
        _flag("retry_exhausted", retry_exhausted)
        headers = _headers(metadata)
        if token:
            headers["authorization"] = f"Bearer {token}"
        return cls(
            parsed,
            _options(parsed, retry_policy(retries), tls, isolated, channel_options),
            tls.credentials() if tls is not None else None,
            retry_exhausted,
            tuple(headers.items()) or None,
        )

    def open(self) -> grpc.Channel:
        """A channel for threads (and greenlets).

        Raises:
            ConfigurationError: gRPC rejects ``channel_options``, or no host of the target can be resolved.
        """
        channel: grpc.Channel = self._open(grpc)
        return channel

    def open_async(self) -> grpc.aio.Channel:
        """A channel for the running event loop; raises as :meth:`open` does."""
        channel: grpc.aio.Channel = self._open(grpc.aio)
        return channel

    def members(self) -> dict[str, Connection]:
        """A connection to each server behind the target, by address; this connection if there is only one.

        Raises:
            ConfigurationError: no host of the target can be resolved.
        """
        if not self.target.several:
            return {self.target.text: self}
        return {str(host): self._to(name, host) for name, host in self.target.members()}

    def _to(self, name: str, host: Host) -> Connection:
        options = dict(self.options)
        if self.credentials is not None:
            options.setdefault("grpc.ssl_target_name_override", name)
        return replace(self, target=Target(str(host), (host,)), options=tuple(options.items()))

    def _open(self, face: Any) -> Any:
        address = self.target.address()
        try:
            if self.credentials is not None:
                return face.secure_channel(address, self.credentials, options=self.options)
            return face.insecure_channel(address, options=self.options)
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise ConfigurationError(f"channel_options: gRPC rejects them ({error})") from None


def _tls(target: Target, given: TLS | None) -> TLS | None:
    """TLS from the argument or the URL."""
    if given is not None and not isinstance(given, TLS):
        raise ConfigurationError(f"tls: is {_arguments.shown(given)}; give a TLS(...), or None for plain text")
    options = {name: value for name, value in target.options.items() if name != "tls"}
    if given is not None and target.options:
        raise ConfigurationError("tls: is set both in the target's URL and by the argument; give one of them")
    if options or target.options.get("tls") == "on":
        given = TLS(**options)
    if given is not None and len(target.hosts) > 1 and given.server_name is None:
        raise ConfigurationError("tls: several hosts need a server_name, the name that is in every host's certificate")
    return given


def _headers(metadata: Mapping[str, str] | None) -> dict[str, str]:
    headers: dict[str, str] = {}
    for key, value in () if metadata is None else _arguments.pairs("metadata", metadata, ConfigurationError):
        if not isinstance(key, str) or not _HEADER.fullmatch(key.lower()):
            raise ConfigurationError(
                f"metadata: {_arguments.shown(key)} cannot name a header; give letters, digits and -_., "
                "without grpc- in front or -bin at the end"
            )
        if not _printable(value):
            raise ConfigurationError(f"metadata[{key}]: is {_arguments.shown(value)}; give printable ASCII text")
        headers[key.lower()] = value
    return headers


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name}: is {_arguments.shown(value)}; give True or False")


def _printable(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()


def _options(
    target: Target, policy: RetryPolicy | None, tls: TLS | None, isolated: bool, extra: Sequence[Option]
) -> tuple[Option, ...]:
    _flag("isolated", isolated)
    options: dict[str, Any] = dict(_DEFAULTS)
    if target.loopback or len(target.hosts) > 1:
        # A proxy (https_proxy, grpc_proxy, …) can neither reach our loopback interface nor take a list of addresses.
        options["grpc.enable_http_proxy"] = 0
    options["grpc.primary_user_agent"] = f"twinserve-client/{version()}"
    # Without this, all channels of a process to the same target share one TCP connection.
    options["grpc.use_local_subchannel_pool"] = int(isolated)
    if policy is None:
        options["grpc.enable_retries"] = 0
    options["grpc.service_config"] = service_config(policy, balanced=target.several)
    if len(target.hosts) > 1:
        options["grpc.default_authority"] = str(target.hosts[0])
    if tls is not None and tls.server_name is not None:
        options["grpc.ssl_target_name_override"] = tls.server_name
    try:
        options.update(extra)
    except Exception as error:  # anything may have been passed, and can fail in any way
        raise ConfigurationError(
            f"channel_options: is {_arguments.shown(extra)}; give pairs of a name and a value"
        ) from error
    return tuple(options.items())


def _read(name: str, path: str | PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{name}: {path} cannot be read ({error.strerror})") from None
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{name}: {_arguments.shown(path)} is not a path ({error})") from None
    # gRPC would only log this, then fail to connect.
    if b"-----BEGIN " not in content:
        raise ConfigurationError(f"{name}: {path} is not a PEM file")
    return content
