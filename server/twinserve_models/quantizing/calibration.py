"""The items that set the ranges of activations: an ``.npz`` with an array by the name of each input."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.dtypes import DTYPES
from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.errors import ArtefactError
from twinserve_server.model.convert import convert

Arrays = dict[str, npt.NDArray[Any]]

BATCH: Final = 64
#: More items hardly change a range, but take time.
MOST_ITEMS: Final = 2048


def read_calibration(path: Path, version: ModelVersion, datatypes: dict[str, DataType]) -> Arrays:
    """The inputs of a model by name, as the artefact takes them.

    Args:
        path: the archive; the only input of a model may be called ``images`` there.
        version: of the model.
        datatypes: what the artefact takes, by input.

    Raises:
        ArtefactError: the file cannot be used; names the array and what is wanted.
    """
    where = f"--calibration {path}"
    try:
        with np.load(path, allow_pickle=False) as archive:
            held = {name: archive[name][:MOST_ITEMS] for name in archive.files if archive[name].ndim}
    except OSError as error:
        raise ArtefactError(f"{where}: cannot be read ({error.strerror or error})") from None
    except (ValueError, zipfile.BadZipFile) as error:
        raise ArtefactError(f"{where}: is not an .npz of arrays ({error})") from None
    if len(version.inputs) == 1 and version.inputs[0].name not in held and "images" in held:
        held[version.inputs[0].name] = held["images"]
    found: Arrays = {}
    for spec in version.inputs:
        array = held.get(spec.name)
        if array is None:
            raise ArtefactError(f"{where}: holds {', '.join(held) or 'nothing'}; the input {spec.name} is missing")
        if not len(array) or not spec.fits(array.shape[1:]):
            raise ArtefactError(
                f"{where}: {spec.name} is {list(array.shape)}; items of {list(spec.shape)} are needed, at least one"
            )
        found[spec.name] = _as(array, datatypes[spec.name], version, f"{where}: {spec.name}")
    if len({len(array) for array in found.values()}) > 1:
        counts = ", ".join(f"{name} {len(array)}" for name, array in found.items())
        raise ArtefactError(f"{where}: the inputs have different numbers of items ({counts})")
    return found


def batches(arrays: Arrays) -> Iterator[Arrays]:
    """The items in batches."""
    count = len(next(iter(arrays.values())))
    for start in range(0, count, BATCH):
        yield {name: array[start : start + BATCH] for name, array in arrays.items()}


def _as(array: npt.NDArray[Any], datatype: DataType, version: ModelVersion, where: str) -> npt.NDArray[Any]:
    """``array`` as ``datatype``; pixels are mapped from range to range, as the server does."""
    dtype = DTYPES[datatype]
    if version.signature is None and array.dtype == np.uint8 and datatype == "FP32":
        return np.frombuffer(convert(array.tobytes(), "UINT8", "FP32", version), dtype).reshape(array.shape)
    if array.dtype.kind not in "biuf" or (dtype.kind in "biu" and array.dtype.kind == "f"):
        raise ArtefactError(f"{where} is {array.dtype}; {datatype} is needed")
    return array.astype(dtype)
