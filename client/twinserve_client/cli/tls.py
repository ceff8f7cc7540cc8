"""The TLS options of every command with a ``--target``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from twinserve_client import TLS

TlsCa = Annotated[
    Path | None,
    typer.Option("--tls-ca", envvar="TWINSERVE_TLS_CA", help="CA certificate of the server (PEM); turns TLS on."),
]
TlsCert = Annotated[
    Path | None, typer.Option("--tls-cert", help="Client certificate (PEM), if the server requires one.")
]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", help="Private key of the client certificate (PEM).")]

#: Appended when a command got no answer in plain text.
PLAIN_TEXT_HINT = "; a server that speaks TLS wants --tls-ca"


def tls_of(ca: Path | None, cert: Path | None, key: Path | None) -> TLS | None:
    """TLS settings from the options; None for plain text."""
    from twinserve_client import TLS

    return None if ca is cert is key is None else TLS(ca=ca, cert=cert, key=key)
