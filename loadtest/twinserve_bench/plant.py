"""Makes variants with known faults, for `calibration.py --live`.

    python -m twinserve_bench.plant --models models --output planted

Beside a copy of the baseline the folder gets `slower-10`, `slower-20`, `slower-50` (TorchScript modules that wait in
every forward pass, busy, until the clock has moved on by so many per cent of `--request-ms`) and `flipped-0.3`,
`flipped-1`, `flipped-3` (a hash of the pixels decides which images are answered with the next class: so many
points, counted here). `planted.json` says what was planted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import torch

SLOWDOWNS = (0.1, 0.2, 0.5)
LOSSES = (0.003, 0.01, 0.03)
BUCKETS = 100_003


class Slower(torch.nn.Module):
    """The inner module, `nanoseconds` later by the clock: exact on a machine of any speed, as needless work is not."""

    def __init__(self, inner: torch.jit.ScriptModule, nanoseconds: int) -> None:
        super().__init__()
        self.inner = inner
        self.nanoseconds = nanoseconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.inner(x)
        began = torch.ops.prim.TimePoint()
        while torch.ops.prim.TimePoint() - began < self.nanoseconds:
            pass
        return answers


class Flipped(torch.nn.Module):
    """The inner module, with the next class for the images whose hash falls below the threshold."""

    def __init__(self, inner: torch.jit.ScriptModule, threshold: int, elements: int) -> None:
        super().__init__()
        self.inner = inner
        self.threshold = threshold
        generator = torch.Generator().manual_seed(7)
        self.weights: torch.Tensor
        self.register_buffer("weights", torch.randint(1, 100_003, (elements,), generator=generator))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = x if x.dtype == torch.uint8 else torch.round(x * 255)
        hashed = (pixels.flatten(1).to(torch.int64) * self.weights).sum(1) % 100_003
        answers = self.inner(x)
        chosen = (hashed < self.threshold).unsqueeze(1)
        return torch.where(chosen, torch.roll(answers, 1, 1), answers)


def classes_of(module: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    """The answered class of every image."""
    with torch.inference_mode():
        parts = [module(torch.from_numpy(images[i : i + 256])).argmax(1) for i in range(0, len(images), 256)]
    return torch.cat(parts).numpy()


def main() -> None:
    """Read the options, plant, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"), help="holds <model>/<version>/manifest.json")
    parser.add_argument("--model", default="mnist")
    parser.add_argument("--baseline", default="fp32", help="the variant that is wrapped")
    parser.add_argument("--request-ms", type=float, default=1.2, help="what a single request takes, about")
    parser.add_argument("--output", type=Path, default=Path("planted"))
    options = parser.parse_args()
    source = max((options.models / options.model).glob("[0-9]*"), key=lambda folder: int(folder.name), default=None)
    if source is None:
        parser.error(f"--models {options.models}: no {options.model} there; `twinserve models build` makes it")
    manifest = json.loads((source / "manifest.json").read_text("utf-8"))
    if options.baseline not in manifest["variants"]:
        parser.error(f"--baseline {options.baseline}: the manifest has {', '.join(manifest['variants'])}")
    entry = manifest["variants"][options.baseline]
    inner = torch.jit.load(str(source / entry["file"])).eval()
    with np.load(options.models / options.model / "testset.npz", allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    target = options.output / options.model / source.name
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(options.models / options.model / "testset.npz", target.parent / "testset.npz")

    modules: dict[str, torch.jit.ScriptModule] = {options.baseline: inner}
    planted: dict[str, dict[str, float]] = {}
    for share in SLOWDOWNS:
        name = f"slower-{100 * share:g}"
        seconds = share * options.request_ms / 1000
        modules[name] = torch.jit.script(Slower(inner, round(1e9 * seconds)))
        planted[name] = {"busy_seconds": seconds}
    right = classes_of(inner, images) == labels
    for loss in LOSSES:
        name = f"flipped-{100 * loss:g}"
        modules[name] = torch.jit.script(Flipped(inner, round(loss * BUCKETS), images[0].size))
        planted[name] = {"difference": float((classes_of(modules[name], images) == labels).mean() - right.mean())}

    variants = {}
    for name, module in modules.items():
        path = target / f"{name}.pt"
        module.save(str(path))
        data = path.read_bytes()
        variants[name] = {**entry, "file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (target / "manifest.json").write_text(json.dumps({**manifest, "variants": variants}, indent=1), "utf-8")
    document = {"model": options.model, "baseline": options.baseline, "planted": planted}
    (options.output / "planted.json").write_text(json.dumps(document, indent=1), "utf-8")
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
