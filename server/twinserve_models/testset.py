"""The test images beside the models: ``models/<model>/testset.npz``, what a load test sends.

A numpy archive that needs nothing else to read, so that any model can come with one:

- ``images``: uint8 (or float32), N x the item shape of the manifest;
- ``labels``: int64, N, the true classes as indexes into the manifest's labels;
- ``info``: a JSON text, the manifest's ``dataset`` (name, source, train_images, test_images, full).

The server ignores it: it lies outside the version folders.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np

from twinserve_models.data import DatasetInfo, Int64Array, UInt8Array

TESTSET_NAME = "testset.npz"


def write_testset(folder: Path, images: UInt8Array, labels: Int64Array, info: DatasetInfo) -> Path:
    """Write ``folder/testset.npz`` in one step; what was there before is replaced."""
    path = folder / TESTSET_NAME
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{TESTSET_NAME}-", delete=False) as file:
        try:
            np.savez_compressed(file, images=images, labels=labels, info=np.array(json.dumps(info.to_json())))
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise
    return path
