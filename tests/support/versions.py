"""More versions of a tiny model, copied from the first."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path


def add_version(root: Path, version: str, *, swapped: bool = False, model: str = "tiny") -> Path:
    """Copy version 1 of a model; ``swapped``: its variants confuse classes 0 and 1. Returns its folder."""
    folder = root / model / version
    shutil.copytree(root / model / "1", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["version"] = version
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if swapped:
        from support.tiny_model import make_tiny_models

        other = make_tiny_models(root / f".{version}", ("swapped",), model, runtime="onnx")
        data = (other / model / "1" / "swapped.onnx").read_bytes()
        for variant in manifest["variants"]:
            rewrite(folder, variant, data)
        shutil.rmtree(other)
    return folder


def rewrite(folder: Path, variant: str, data: bytes, **fields: str) -> None:
    """Put other bytes into a variant's file, and say so in its manifest, with other ``fields`` if need be."""
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = manifest["variants"][variant]
    entry |= fields
    (folder / entry["file"]).write_bytes(data)
    entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
