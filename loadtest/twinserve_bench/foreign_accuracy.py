"""The whole test set through Triton's client: right answers of each variant, beside what the manifest states.

Ends with 1 when a variant has fewer right than ``--least`` asks for. Example:

    MNIST_ROOT=/data/mnist python -m twinserve_bench.foreign_accuracy --models models --least 98.9
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

from twinserve_bench.processes import ensure_models, twinserve

VARIANTS = ("fp32", "int8")
_BATCH = 50


def count_right(target: str, variant: str, testset: Path) -> tuple[int, int]:
    """How many images of a test set get their label, of how many."""
    with np.load(testset) as held:
        images, labels = held["images"], held["labels"]
    right = 0
    with triton.InferenceServerClient(target) as client:
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            tensor = triton.InferInput("input", batch.shape, "UINT8")
            tensor.set_data_from_numpy(batch)
            classes = client.infer(f"mnist_{variant}", [tensor]).as_numpy("classes")[:, 0]
            right += int((classes == labels[start : start + _BATCH]).sum())
    return right, len(images)


def main() -> int:
    """Count and print; 1: too few."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--least", type=float, default=98.9, help="per cent of right answers; the full MNIST's")
    arguments = parser.parse_args()
    ensure_models(arguments.models)
    stated = json.loads((arguments.models / "mnist" / "1" / "manifest.json").read_text("utf-8"))["variants"]
    enough = True
    with twinserve(arguments.models, "--variants", ",".join(VARIANTS), "--gateways", "1") as server:
        for variant in VARIANTS:
            testset = arguments.models / "mnist" / "testset.npz"
            right, images = count_right(f"127.0.0.1:{server.port}", variant, testset)
            offline = stated[variant]["accuracy"]
            share = 100 * right / images
            enough &= share >= arguments.least
            print(
                f"{variant}: {right:,} of {images:,} right ({share:.2f} %); "
                f"manifest: {offline['correct']:,} of {offline['total']:,}"
            )
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
