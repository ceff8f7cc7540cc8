"""Version folders, written atomically. Needs none of the libraries that run models."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twinserve_host.files import FileError

#: File name extensions of variants, by runtime.
SUFFIXES = {"torchscript": ".pt", "onnx": ".onnx"}
BUILDING = ".building-"
REPLACED = ".replaced-"
ADDING = ".adding-"


@contextmanager
def new_version(model_folder: Path, version: str) -> Iterator[Path]:
    """A scratch folder that becomes ``model_folder/version`` when the block ends well, and vanishes when it does not.

    It is named as a server would find it.

    A version that is there already is replaced at that moment, not before.

    Raises:
        FileError: a file or folder cannot be written.
    """
    with scratch_in(model_folder, BUILDING) as scratch:
        folder = scratch / model_folder.name / version
        folder.mkdir(parents=True)
        yield folder
        target = model_folder / version
        if target.exists():
            target.rename(scratch / f"{REPLACED}{version}")
        folder.rename(target)


@contextmanager
def next_version(models: Path, model: str) -> Iterator[Path]:
    """A scratch folder, named as a server would find it, that becomes the version after the greatest of ``model``.

    The place that it takes is its name under ``models/<model>``; nothing that is there is touched.

    Raises:
        FileError: a file or folder cannot be written, or somebody else added that version meanwhile.
    """
    taken = [
        int(folder.name) for folder in (models / model).glob("*") if folder.name.isascii() and folder.name.isdigit()
    ]
    with scratch_in(models, ADDING) as scratch:
        folder = scratch / model / str(max(taken, default=0) + 1)
        folder.mkdir(parents=True)
        yield folder
        (models / model).mkdir(exist_ok=True)
        folder.rename(models / model / folder.name)


@contextmanager
def scratch_in(folder: Path, prefix: str) -> Iterator[Path]:
    """A folder inside ``folder``, which is made if it is missing, that vanishes in the end.

    Raises:
        FileError: something cannot be written; it is named as if it lay in ``folder``, where it was to go.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=prefix) as scratch:
            try:
                yield Path(scratch)
            except FileError as error:
                raise FileError(str(error).replace(scratch, str(folder))) from None
    except OSError as error:
        raise FileError.of(folder, error) from None


def remove_leftovers(model_folder: Path) -> None:
    """Remove what a killed build left behind. The caller must hold the build lock.

    A build that was killed while it replaced a version had moved the old one aside: it goes back to its place.
    """
    for folder in model_folder.glob(f"{BUILDING}*"):
        for replaced in folder.glob(f"{REPLACED}*"):
            target = model_folder / replaced.name.removeprefix(REPLACED)
            if not target.exists():
                replaced.rename(target)
        shutil.rmtree(folder)
