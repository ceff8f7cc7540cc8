"""Bound 1: an artefact in a bare loop, without any server. Prints images/s by batch size as JSON.

``python bare_model.py models/mnist/1 int8 --batches 1,64 --seconds 1``
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from twinserve_server.artefact.manifest import read_manifest
from twinserve_server.model.torchscript import configure_torch


def rate(module: torch.jit.ScriptModule, images: torch.Tensor, seconds: float) -> float:
    """Images a second through ``module``."""
    with torch.inference_mode():
        for _ in range(30):
            module(images)
        count, started = 0, time.perf_counter()
        while (spent := time.perf_counter() - started) < seconds:
            module(images)
            count += len(images)
    return count / spent


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("variant")
    parser.add_argument("--batches", default="1,8,32,64,128")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    version = read_manifest(arguments.folder)
    variant = version.variants[arguments.variant]
    configure_torch(variant.quantized_engine, arguments.threads)
    module = torch.jit.load(variant.path).eval()
    random = np.random.default_rng(0)
    found = {}
    for size in map(int, arguments.batches.split(",")):
        pixels = random.integers(0, 256, (size, *version.item_shape), dtype=np.uint8)
        found[size] = rate(module, torch.from_numpy(pixels), arguments.seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
