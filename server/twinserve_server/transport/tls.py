"""The TLS files of a server: checks, and errors for those that cannot be used."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twinserve_server.errors import TwinserveError

_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----")
_KEY: Final = re.compile(rb"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----")


class TlsError(TwinserveError):
    """A TLS file cannot be used; the message names the option and the file."""

    reason = "TLS"


@dataclass(frozen=True, slots=True)
class Pem:
    """The content of the files; ``client_ca`` is empty where there is none."""

    cert: bytes
    key: bytes
    client_ca: bytes


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files.

    Attributes:
        cert: the server's certificate, followed by those between it and its authority.
        key: its private key, not encrypted.
        client_ca: authorities; only clients with a certificate from one of them are accepted. Empty accepts any client.
    """

    cert: str
    key: str
    client_ca: str = ""

    @classmethod
    def of(cls, cert: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
        """The files from the options; None for plain text.

        Raises:
            TlsError: an option needs another one that is missing.
        """
        if cert is None and key is None:
            if client_ca is not None:
                raise TlsError(f"--tls-client-ca {client_ca}: needs --tls-cert and --tls-key as well")
            return None
        if cert is None:
            raise TlsError(f"--tls-key {key}: needs --tls-cert as well")
        if key is None:
            raise TlsError(f"--tls-cert {cert}: needs --tls-key as well")
        return cls(str(cert), str(key), "" if client_ca is None else str(client_ca))

    def check(self) -> ssl.SSLContext:
        """See that they can be used; a context that does.

        Raises:
            TlsError: a file cannot be read or is not PEM, or the key does not belong to the certificate.
        """
        self.read()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # The empty password keeps OpenSSL from asking the terminal for one.
            context.load_cert_chain(self.cert, self.key, password=lambda: "")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise TlsError(f"--tls-key: {self.key} is not the key of the certificate in {self.cert}") from None
            raise TlsError(
                f"--tls-cert, --tls-key: {self.cert} and {self.key} cannot be used ({error.reason or error}); "
                "give PEM files, the key without a password"
            ) from None
        if self.client_ca:
            try:
                context.load_verify_locations(self.client_ca)
            except ssl.SSLError as error:
                raise TlsError(f"--tls-client-ca: {self.client_ca} cannot be used ({error.reason or error})") from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def read(self) -> Pem:
        """What they hold now.

        Raises:
            TlsError: a file cannot be read or is no PEM file.
        """
        return Pem(
            _read("--tls-cert", self.cert, _CERTIFICATE, "certificate"),
            _read("--tls-key", self.key, _KEY, "private key"),
            _read("--tls-client-ca", self.client_ca, _CERTIFICATE, "certificate") if self.client_ca else b"",
        )

    def stamp(self) -> object:
        """Equal as long as no file is another one or has changed."""
        return tuple(_stamp(path) for path in (self.cert, self.key, self.client_ca) if path)


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(option: str, path: str, begins: re.Pattern[bytes], what: str) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise TlsError(f"{option}: {path} cannot be read ({error.strerror})") from None
    if not begins.search(content):
        raise TlsError(f"{option}: {path} holds no {what} in PEM form")
    return content
