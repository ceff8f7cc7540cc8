"""Version folders, written whole or not at all. Needs none of the libraries that run models."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: What the file of a variant ends with, by runtime.
SUFFIXES = {"torchscript": ".pt", "onnx": ".onnx"}
BUILDING = ".building-"
REPLACED = ".replaced-"
ADDING = ".adding-"


@contextmanager
def new_version(model_folder: Path, version: str) -> Iterator[Path]:
    """A scratch folder that becomes ``model_folder/version`` when the block ends well, and vanishes when it does not.

    A version that is there already is replaced at that moment, not before.
    """
    model_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=model_folder, prefix=BUILDING) as scratch:
        folder = Path(scratch) / version
        folder.mkdir()
        yield folder
        target = model_folder / version
        if target.exists():
            target.rename(Path(scratch) / f"{REPLACED}{version}")
        folder.rename(target)


@contextmanager
def next_version(models: Path, model: str) -> Iterator[Path]:
    """A scratch folder, named as a server would find it, that becomes the version after the greatest of ``model``.

    The place that it takes is its name under ``models/<model>``; nothing that is there is touched.

    Raises:
        OSError: a folder cannot be made, or somebody else added that version meanwhile.
    """
    models.mkdir(parents=True, exist_ok=True)
    taken = [
        int(folder.name) for folder in (models / model).glob("*") if folder.name.isascii() and folder.name.isdigit()
    ]
    with tempfile.TemporaryDirectory(dir=models, prefix=ADDING) as scratch:
        folder = Path(scratch) / model / str(max(taken, default=0) + 1)
        folder.mkdir(parents=True)
        yield folder
        (models / model).mkdir(exist_ok=True)
        folder.rename(models / model / folder.name)


def remove_leftovers(model_folder: Path) -> None:
    """Remove what a killed build left behind. Only for who holds the build lock."""
    for folder in model_folder.glob(f"{BUILDING}*"):
        shutil.rmtree(folder)
