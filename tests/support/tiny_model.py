"""A tiny pair with another shape and class count than MNIST's, whose answers are known.

An item is 4 x 4 pixels; the class is the place (0..4) of the brightest of its first five. Variants: ``fp32`` and
``int8`` (the same answers, other probabilities), and, when asked for, ``swapped`` (classes 0 and 1 exchanged),
``slow`` (burns time) and ``fragile`` (fails on a batch that holds an item whose last pixel is ``POISON``).

Each can be written for either runtime. ONNX Runtime loads in a tenth of the time that torch needs, so tests in which
the runtime plays no part serve ONNX files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

ITEM = (4, 4)
CLASSES = 5
LABELS = ["ant", "bee", "cat", "dog", "eel"]
POISON = 254
#: Matrix products that one forward pass of ``slow`` makes: some 50 ms.
SLOW_ROUNDS = 60

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a variant computes: the softmax of the first five pixels times ``scale``."""

    scale: float = 10.0
    swap: bool = False
    #: Products of 256 x 256 matrices, to burn time.
    rounds: int = 0
    fragile: bool = False


RECIPES: Final = {
    "fp32": Recipe(),
    "int8": Recipe(scale=9.0),
    "swapped": Recipe(swap=True),
    "slow": Recipe(rounds=SLOW_ROUNDS),
    "fragile": Recipe(fragile=True),
}


def items(count: int, seed: int = 0) -> UInt8Array:
    """Random items without ties and without poison: uint8, count x 4 x 4."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 100, (count, 16), dtype=np.uint8)
    pixels[np.arange(count), random.integers(0, CLASSES, count)] = 200
    return pixels.reshape(count, *ITEM)


def classes_of(pixels: UInt8Array) -> npt.NDArray[np.int64]:
    """The known answers."""
    return np.asarray(pixels.reshape(-1, 16)[:, :CLASSES].argmax(1), np.int64)


def make_tiny_models(
    root: Path,
    variants: Sequence[str] = ("fp32", "int8"),
    model: str = "tiny",
    item: tuple[int, ...] = ITEM,
    runtime: Literal["onnx", "torchscript"] = "torchscript",
) -> Path:
    """Write ``root/<model>/1``, for items of shape ``item``; return ``root``."""
    folder = root / model / "1"
    folder.mkdir(parents=True)
    entries = {}
    for name in variants:
        data = _artefact(RECIPES[name], item, runtime)
        path = folder / f"{name}.{'onnx' if runtime == 'onnx' else 'pt'}"
        path.write_bytes(data)
        entries[name] = {
            "file": path.name,
            "format": runtime,
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "max_batch_size": 16,
        }
    manifest = {
        "schema_version": 1,
        "model": model,
        "version": "1",
        "input": {"datatypes": ["UINT8", "FP32"], "shape": list(item), "ranges": {"UINT8": [0, 255], "FP32": [0, 1]}},
        "output": {"kind": "probabilities", "labels": LABELS},
        "dataset": {"name": "tiny", "source": "made by a test", "train_images": 0, "test_images": 64, "full": False},
        "variants": entries,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if item != ITEM:
        return root
    pixels = items(64, seed=1)
    info = json.dumps(manifest["dataset"])
    np.savez(root / model / "testset.npz", images=pixels, labels=classes_of(pixels), info=np.array(info))
    return root


def _artefact(recipe: Recipe, item: tuple[int, ...], runtime: str) -> bytes:
    # Imported here: torch and onnx take seconds, and most tests need one of them at most.
    if runtime == "onnx":
        from support.tiny_onnx import graph_of

        return graph_of(recipe, item)
    from support.tiny_torchscript import script_of

    return script_of(recipe)
