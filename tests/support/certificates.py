"""Certificates for tests, fresh from openssl: an authority, and what it signed for a server and for a client."""

from __future__ import annotations

import subprocess
from pathlib import Path

#: For whom the certificates are good: a name, and where the tests' servers listen.
NAMES = "subjectAltName=DNS:digits.test,DNS:localhost,IP:127.0.0.1\n"


def make_certificates(folder: Path) -> Path:
    """Write ``ca``, ``server``, ``client``, ``expired``, each as ``.pem`` and ``.key``, into ``folder``; return it."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority")
    (folder / "names").write_text(NAMES)
    for name, days in (("server", "30"), ("client", "30"), ("expired", "-1")):
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-extfile", "names", "-days", days,
        )  # fmt: skip
    return folder
