"""How a client is connected: target, TLS, token, gRPC's settings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any, Final

import grpc

from twinserve_client._retry import RetryPolicy, retry_policy, service_config
from twinserve_client._tensor import MAX_MESSAGE_BYTES
from twinserve_client.errors import ConfigurationError

Option = tuple[str, Any]
Metadata = tuple[tuple[str, str], ...]

_LOCAL_HOSTS: Final = ("127.", "localhost", "[::1]", "unix:")

#: Sane for one machine and for a data centre; the caller's ``channel_options`` come after and win.
_DEFAULTS: Final[tuple[Option, ...]] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A dead connection is noticed within 40 s, also while nothing is asked; the server allows a ping each 10 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC's own 120 s would keep a client away from a server that is back long since.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True, slots=True)
class TLS:
    """TLS for the connection; without any field: the certificate authorities that gRPC ships.

    Attributes:
        ca: PEM file of the authority that signed the server's certificate.
        cert: PEM file of the client's own certificate (mTLS); needs ``key``.
        key: PEM file of its private key.
        server_name: the name in the server's certificate, when it is not the host of the target.
    """

    ca: str | PathLike[str] | None = None
    cert: str | PathLike[str] | None = None
    key: str | PathLike[str] | None = None
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """The files, read.

        Raises:
            ConfigurationError: a file cannot be read or is no PEM file, or only one of ``cert`` and ``key`` is given.
        """
        if (self.cert is None) != (self.key is None):
            raise ConfigurationError("tls: cert and key belong together; give both or neither")
        return grpc.ssl_channel_credentials(
            root_certificates=_read("tls.ca", self.ca),
            private_key=_read("tls.key", self.key),
            certificate_chain=_read("tls.cert", self.cert),
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """What a channel is made of; see ``Client`` for the meaning of the arguments."""

    target: str
    options: tuple[Option, ...]
    credentials: grpc.ChannelCredentials | None
    metadata: Metadata | None

    @classmethod
    def of(
        cls,
        target: str,
        *,
        retries: RetryPolicy | int | None,
        tls: TLS | None,
        token: str | None,
        metadata: Mapping[str, str] | None,
        isolated: bool,
        channel_options: Sequence[Option],
    ) -> Connection:
        """Check the arguments of a client.

        Raises:
            ConfigurationError: names the argument and what is wrong with it.
        """
        if not target or target != target.strip():
            raise ConfigurationError(f"target: {target!r} is no address; give host:port, for example 127.0.0.1:8500")
        if token and tls is None and not target.startswith(_LOCAL_HOSTS):
            warnings.warn(
                f"the token goes to {target} unencrypted; give tls=TLS(...) unless the network is trusted",
                stacklevel=4,
            )
        headers = {key.lower(): value for key, value in (metadata or {}).items()}
        if token:
            headers["authorization"] = f"Bearer {token}"
        return cls(
            target,
            _options(retry_policy(retries), tls, isolated, channel_options),
            tls.credentials() if tls is not None else None,
            tuple(headers.items()) or None,
        )

    def open(self) -> grpc.Channel:
        """A channel for threads (and greenlets)."""
        if self.credentials is not None:
            return grpc.secure_channel(self.target, self.credentials, options=self.options)
        return grpc.insecure_channel(self.target, options=self.options)

    def open_async(self) -> grpc.aio.Channel:
        """A channel for the running event loop."""
        if self.credentials is not None:
            return grpc.aio.secure_channel(self.target, self.credentials, options=self.options)
        return grpc.aio.insecure_channel(self.target, options=self.options)


def _options(
    policy: RetryPolicy | None, tls: TLS | None, isolated: bool, extra: Sequence[Option]
) -> tuple[Option, ...]:
    options: dict[str, Any] = dict(_DEFAULTS)
    options["grpc.primary_user_agent"] = f"twinserve-client/{version()}"
    # Without this, all channels of a process to one target share one TCP connection.
    options["grpc.use_local_subchannel_pool"] = int(isolated)
    if policy is None:
        options["grpc.enable_retries"] = 0
    else:
        options["grpc.service_config"] = service_config(policy)
    if tls is not None and tls.server_name is not None:
        options["grpc.ssl_target_name_override"] = tls.server_name
    options.update(extra)
    return tuple(options.items())


def _read(name: str, path: str | PathLike[str] | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{name}: {path} cannot be read ({error.strerror})") from None
    # gRPC would say so in its log only, and then reach nobody.
    if b"-----BEGIN " not in content:
        raise ConfigurationError(f"{name}: {path} is no PEM file")
    return content


@cache
def version() -> str:
    """The version of the installed distribution."""
    try:
        return metadata.version("twinserve")
    except metadata.PackageNotFoundError:
        return "unknown"
