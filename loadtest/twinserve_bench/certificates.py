"""Certificates to test with, fresh from openssl: an authority, and what it signed for a server and for a client."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

#: What the certificates are valid for: a name, and the address of the servers under test.
NAMES = "subjectAltName=DNS:digits.test,DNS:localhost,IP:127.0.0.1\n"

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def make_certificates(folder: Path) -> Path:
    """Write ``ca``, ``server``, ``client``, ``expired``, each as ``.pem`` and ``.key``, into ``folder``; return it."""
    _openssl(folder, "req", "-x509", *_CURVE, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority")
    (folder / "names").write_text(NAMES)
    for name, days in (("server", "30"), ("client", "30"), ("expired", "-1")):
        sign_certificate(folder, name, days)
    return folder


def sign_certificate(folder: Path, name: str, days: str = "30") -> None:
    """Write ``name.pem`` and ``name.key``, signed by the authority in ``folder``."""
    _openssl(folder, "req", *_CURVE, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    signed: Sequence[str] = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem", "-days", days)


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
