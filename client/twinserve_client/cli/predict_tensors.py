"""``twinserve predict`` on files of named tensors: ``.npz`` or ``.json`` in, tables or one JSON object out."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from twinserve_client.cli.predict_entry import as_entry
from twinserve_client.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from twinserve_client import ModelInfo, Prediction

SUFFIXES: Final = (".npz", ".json")
#: How many numbers of each output are shown.
_SHOWN: Final = 6


def is_tensors(file: str) -> bool:
    """Whether a file holds named tensors rather than a picture."""
    return file.lower().endswith(SUFFIXES)


def read_tensors(file: Path, info: ModelInfo) -> dict[str, npt.NDArray[Any]]:
    """The model's inputs by name; anything else in the file, such as labels, is ignored.

    Raises:
        InvalidInputError: the file cannot be read, or an input is missing.
    """
    try:
        if file.suffix.lower() == ".json":
            found = json.loads(file.read_text("utf-8"))
            if not isinstance(found, dict):
                raise InvalidInputError.of(str(file), 'is not a JSON object; give {"name": [numbers]}')
            arrays = {name: np.asarray(value) for name, value in found.items()}
        else:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise InvalidInputError.of(str(file), f"cannot be read ({error.strerror or error})") from None
    except (ValueError, zipfile.BadZipFile) as error:
        raise InvalidInputError.of(str(file), f"contains no tensors ({error})") from None
    if len(info.inputs) == 1 and info.inputs[0].name not in arrays and "images" in arrays:
        return {info.inputs[0].name: arrays["images"]}
    if missing := [tensor.name for tensor in info.inputs if tensor.name not in arrays]:
        wanted = ", ".join(f"{tensor.name} {tensor.datatype} {list(tensor.shape)}" for tensor in info.inputs)
        raise InvalidInputError.of(str(file), f"lacks {missing[0]}; {info.model} takes {wanted}")
    return {tensor.name: arrays[tensor.name] for tensor in info.inputs}


def tensors_document(predictions: list[Prediction]) -> dict[str, Any]:
    """Every answer with all its numbers, as JSON-ready objects; times in seconds."""
    return {
        "answers": [
            {
                **as_entry(prediction),
                "outputs": {name: array.tolist() for name, array in _outputs(prediction).items()},
            }
            for prediction in predictions
        ]
    }


def print_tensors(predictions: list[Prediction], seconds: float) -> None:
    """Print a table: each output of each variant with its shape and first numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table("variant", "output", "shape", "first numbers")
    for prediction in predictions:
        for name, array in _outputs(prediction).items():
            first = " ".join(f"{value:.6g}" for value in array.ravel()[:_SHOWN].tolist())
            more = " …" if array.size > _SHOWN else ""
            table.add_row(prediction.variant, name, str(list(array.shape)), f"{first}{more}")
    console = Console(highlight=False, markup=False)
    console.print(table)
    origin = predictions[0]
    console.print(f"{origin.model} version {origin.version} · {1e3 * seconds:.1f} ms round trip", style="dim")


def _outputs(prediction: Prediction) -> Mapping[str, npt.NDArray[Any]]:
    """The named outputs, or the classes and probabilities of a classifier."""
    return prediction.outputs or {"classes": prediction.classes, "probabilities": prediction.probabilities}
