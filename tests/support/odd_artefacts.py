"""Model folders with one artefact that its test made, whatever is wrong with it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

#: An item is six numbers; the classes are three.
ITEM, CLASSES = (6,), 3


def script(body: str) -> torch.jit.ScriptModule:
    """A module whose ``forward(x)`` has this body."""

    class Shell(torch.nn.Module):
        """One of its own each time: torch keeps what it compiled by class."""

    scripted = torch.jit.script(Shell().eval())
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    scripted.define(f"def forward(self, x):\n{indented}")
    return scripted


def saved(module: torch.jit.ScriptModule) -> bytes:
    """The file that ``module.save`` writes."""
    return bytes(module.save_to_buffer())


def write_model(
    root: Path,
    data: bytes,
    *,
    kind: str = "probabilities",
    datatypes: tuple[str, ...] = ("FP32",),
    ranges: dict[str, list[float]] | None = None,
    **variant: Any,
) -> Path:
    """Write ``root/odd/1`` with the variant ``fp32``, whose hash is that of ``data``; return ``root``."""
    folder = root / "odd" / "1"
    folder.mkdir(parents=True)
    (folder / "fp32.pt").write_bytes(data)
    entry = {
        "file": "fp32.pt",
        "format": "torchscript",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "max_batch_size": 16,
        **variant,
    }
    model_input: dict[str, Any] = {"datatypes": list(datatypes), "shape": list(ITEM)}
    if ranges is not None:
        model_input["ranges"] = ranges
    manifest = {
        "schema_version": 1,
        "model": "odd",
        "version": "1",
        "input": model_input,
        "output": {"kind": kind, "labels": ["ant", "bee", "cat"]},
        "variants": {"fp32": entry},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return root
