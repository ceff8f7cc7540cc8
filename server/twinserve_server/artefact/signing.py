"""Verify the signature of a model version with `model-signing`.

``model.sig``, next to the manifest, contains the SHA-256 of every file in the folder. The tool runs in a separate
process, because its libraries would stay in the supervisor's memory for as long as the server lives. The signed
manifest must be the one that was read; that covers the artefacts, too, which are checked against the manifest's hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

from twinserve_host.python import environment, python
from twinserve_server.artefact.files import open_inside
from twinserve_server.artefact.manifest import MANIFEST_NAME
from twinserve_server.artefact.strict_json import parse_json
from twinserve_server.errors import ArtefactError

SIGNATURE_NAME: Final = "model.sig"
MAX_SIGNATURE_BYTES: Final = 8 << 20
#: Hashing is quick, but a network file system may hang.
_LIMIT_SECONDS: Final = 300.0
#: The tool's messages about files that differ, without the digests, which do not help.
_DIFFERENCES: Final = re.compile(r"Hash mismatch for '[^']*'|(?:Extra files found|Missing files) in model [^\"]*")


def verify_signature(folder: Path, manifest_json: str, key: Path) -> None:
    """Check that ``folder`` is signed with the private key of ``key``, and that its manifest is ``manifest_json``.

    Args:
        folder: of a model version.
        manifest_json: the manifest as it was read.
        key: file with the public key (PEM, elliptic curve).

    Raises:
        ArtefactError: it is not signed, signed with another key, or its files differ from those signed.
    """
    path = folder / SIGNATURE_NAME
    how = (
        f"sign it with `model_signing sign key --private_key KEY --signature {path} {folder}`, or leave --model-key out"
    )
    if not path.exists():
        raise ArtefactError(f"{path}: does not exist, and --model-key asks for signed models; {how}")
    with open_inside(folder, SIGNATURE_NAME) as file:
        signature = file.read(MAX_SIGNATURE_BYTES)
    # The bytes already read: nobody can change them between check and use.
    held = os.memfd_create("signature", 0)
    try:
        os.write(held, signature)
        command = python("-m", "model_signing", "verify", "key", "--public_key", str(key))
        command += ["--signature", f"/dev/fd/{held}", "--ignore-paths", str(path), str(folder)]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            pass_fds=(held,),
            env=environment(),
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ArtefactError(f"{path}: could not be checked within {_LIMIT_SECONDS:.0f} s") from None
    finally:
        os.close(held)
    if done.returncode:
        raise ArtefactError(f"{path}: is not a signature of this folder by {key}: {_why(done.stderr)}; {how}")
    if _signed_digest(signature) != hashlib.sha256(manifest_json.encode()).hexdigest():
        raise ArtefactError(f"{path}: does not contain the SHA-256 of the {MANIFEST_NAME} that was read; {how}")


def _why(said: str) -> str:
    lines = said.strip().splitlines() or ["the tool does not say why"]
    return ", ".join(_DIFFERENCES.findall(lines[-1])) or lines[-1].removeprefix("Verification failed with error: ")


def _signed_digest(signature: bytes) -> str:
    """The SHA-256 of the manifest in a valid signature; empty if it contains none."""
    try:
        statement: Any = json.loads(base64.b64decode(parse_json(signature, SIGNATURE_NAME)["dsseEnvelope"]["payload"]))
        found = [entry for entry in statement["predicate"]["resources"] if entry["name"] == MANIFEST_NAME]
        return str(found[0]["digest"]) if found[0]["algorithm"] == "sha256" else ""
    except (ArtefactError, ValueError, LookupError, TypeError):
        return ""
