"""A TorchScript pair with another shape and class count than MNIST's, whose answers are known without torch.

An item is 4 x 4 pixels; the class is the place (0..4) of the brightest of its first five. Variants: ``fp32`` and
``int8`` (the same answers, other probabilities), and, when asked for, ``swapped`` (classes 0 and 1 exchanged),
``slow`` (burns time) and ``fragile`` (fails on a batch that holds an item whose last pixel is ``POISON``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

ITEM = (4, 4)
CLASSES = 5
LABELS = ["ant", "bee", "cat", "dog", "eel"]
POISON = 254
#: Matrix products that one forward pass of ``slow`` makes: some 50 ms.
SLOW_ROUNDS = 60

UInt8Array = npt.NDArray[np.uint8]


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
) -> Path:
    """Write ``root/<model>/1``, for items of shape ``item``; return ``root``."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self, scale: float, swap: bool, rounds: int, fragile: bool) -> None:
            super().__init__()
            self.scale, self.swap, self.rounds, self.fragile = scale, swap, rounds, fragile
            self.register_buffer("work", torch.eye(256))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.to(torch.float32) / 255 if x.dtype == torch.uint8 else x
            y = y.flatten(1)
            if self.fragile and bool((y[:, 15] * 255 > 253.5).any()):
                raise RuntimeError("poison")
            unit: torch.Tensor = self.work  # type: ignore[assignment]
            work = unit
            for _ in range(self.rounds):
                work = torch.mm(work, unit)
            y = y[:, :5] * self.scale + work[0, 1]
            if self.swap:
                y = torch.stack([y[:, 1], y[:, 0], y[:, 2], y[:, 3], y[:, 4]], 1)
            return torch.softmax(y, 1)

    recipes = {
        "fp32": (10.0, False, 0, False),
        "int8": (9.0, False, 0, False),
        "swapped": (10.0, True, 0, False),
        "slow": (10.0, False, SLOW_ROUNDS, False),
        "fragile": (10.0, False, 0, True),
    }
    folder = root / model / "1"
    folder.mkdir(parents=True)
    entries = {}
    for name in variants:
        path = folder / f"{name}.pt"
        torch.jit.script(Net(*recipes[name])).save(str(path))
        data = path.read_bytes()
        entries[name] = {
            "file": path.name,
            "format": "torchscript",
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
