"""The test images beside the models: ``models/<model>/testset.npz``, what a load test sends.

A numpy archive that needs nothing else to read, so that any model can come with one:

- ``images``: uint8 (or float32), N x the item shape of the manifest;
- ``labels``: int64, N, the true classes as indexes into the manifest's labels;
- ``info``: a JSON text, the manifest's ``dataset`` (name, source, train_images, test_images, full).

The server ignores it: it lies outside the version folders.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np

from twinserve_host.files import write_file
from twinserve_models.data import DatasetInfo, Int64Array, UInt8Array

TESTSET_NAME = "testset.npz"


def write_testset(folder: Path, images: UInt8Array, labels: Int64Array, info: DatasetInfo) -> Path:
    """Write ``folder/testset.npz`` in one step; what was there before is replaced.

    Raises:
        FileError: it cannot be written.
    """
    path, archive = folder / TESTSET_NAME, BytesIO()
    np.savez_compressed(archive, images=images, labels=labels, info=np.array(json.dumps(info.to_json())))
    write_file(path, archive.getvalue())
    return path
