"""Signatures of model versions by `model-signing`: whether the holder of a key vouches for what is in a folder.

``model.sig`` beside the manifest states the SHA-256 of every file in the folder. The tool checks it in a process of its
own, since its libraries would stay in the supervisor's memory for as long as the server lives. The manifest it vouches
for must be the one that was read; the artefacts follow, because what is loaded is compared with the manifest's hashes.
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
#: Hashing is quick; a folder on a network that hangs is not.
_LIMIT_SECONDS: Final = 300.0
#: What the tool says of the files that differ; their digests help nobody.
_DIFFERENCES: Final = re.compile(r"Hash mismatch for '[^']*'|(?:Extra files found|Missing files) in model [^\"]*")


def verify_signature(folder: Path, manifest_json: str, key: Path) -> None:
    """See that ``folder`` is signed with the private half of ``key``, and that its manifest is ``manifest_json``.

    Args:
        folder: of a model version.
        manifest_json: the manifest as it was read.
        key: file with the public key (PEM, elliptic curve).

    Raises:
        ArtefactError: it is not signed, not with this key, or holds other files than were signed.
    """
    path = folder / SIGNATURE_NAME
    how = (
        f"sign it with `model_signing sign key --private_key KEY --signature {path} {folder}`, or leave --model-key out"
    )
    if not path.exists():
        raise ArtefactError(f"{path}: does not exist, and --model-key asks for signed models; {how}")
    with open_inside(folder, SIGNATURE_NAME) as file:
        signature = file.read(MAX_SIGNATURE_BYTES)
    # The bytes that were read, from memory: nobody can change them between the check and their use.
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
        raise ArtefactError(f"{path}: is no signature of this folder by {key}: {_why(done.stderr)}; {how}")
    if _signed_digest(signature) != hashlib.sha256(manifest_json.encode()).hexdigest():
        raise ArtefactError(f"{path}: does not state the SHA-256 of the {MANIFEST_NAME} that was read; {how}")


def _why(said: str) -> str:
    lines = said.strip().splitlines() or ["the tool does not say why"]
    return ", ".join(_DIFFERENCES.findall(lines[-1])) or lines[-1].removeprefix("Verification failed with error: ")


def _signed_digest(signature: bytes) -> str:
    """The SHA-256 of the manifest in a signature that holds; empty: it states none."""
    try:
        statement: Any = json.loads(base64.b64decode(parse_json(signature, SIGNATURE_NAME)["dsseEnvelope"]["payload"]))
        found = [entry for entry in statement["predicate"]["resources"] if entry["name"] == MANIFEST_NAME]
        return str(found[0]["digest"]) if found[0]["algorithm"] == "sha256" else ""
    except (ArtefactError, ValueError, LookupError, TypeError):
        return ""
