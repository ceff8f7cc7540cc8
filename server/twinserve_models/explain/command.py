"""``twinserve models explain``: from a model folder to a table, a JSON file and a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np

from twinserve_host.files import check_writable, write_file
from twinserve_models.bench import read_testset
from twinserve_models.explain.advice import advise
from twinserve_models.explain.findings import Explanation
from twinserve_models.explain.measure import BATCH, Images, Labels, accuracy, agreement, answer, look_at_layers, sweep
from twinserve_models.explain.onnx import OnnxTwins, Takes
from twinserve_models.explain.picture import draw
from twinserve_models.explain.torchscript import TorchScriptTwins
from twinserve_models.explain.twins import NoTwinsError, Twins
from twinserve_server.artefact.dtypes import DTYPES
from twinserve_server.artefact.files import read_artefact
from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.errors import ArtefactError
from twinserve_server.model.convert import convert
from twinserve_server.model.torchscript import configure_torch

#: Formats that matplotlib writes and a report can contain.
PICTURES: Final = (".svg", ".png")
#: The fraction of the test set that the sweep uses for calibration, not for evaluation.
CALIBRATION_SHARE: Final = 0.25
LEAST_IMAGES: Final = 32


def explain(
    models: Path,
    version: ModelVersion,
    floats: str,
    integers: str,
    images: int,
    on_step: Callable[[str], None] = lambda _: None,
) -> Explanation:
    """Explain variant ``integers`` by ``floats``, on ``images`` of the test set (0: all of it).

    Raises:
        ArtefactError: a variant or the test set is missing, or they are not what can be explained.
    """
    pictures, labels = _testset(models, version)
    if images:
        pictures, labels = pictures[:images], labels[:images]
    if len(pictures) < LEAST_IMAGES:
        raise ArtefactError(f"test set: {len(pictures)} images; at least {LEAST_IMAGES} are needed")
    twins = _twins(version, floats, integers, pictures[:4])
    cut = len(pictures) - int(CALIBRATION_SHARE * len(pictures))
    calibration, pictures, labels = pictures[cut:], pictures[:cut], labels[:cut]
    on_step("both variants")
    scores = answer(twins, pictures)
    layers = look_at_layers(twins, pictures, labels, scores, on_step)
    rows = sweep(twins, calibration, pictures, labels, scores.floats, on_step)
    return Explanation(
        model=version.model,
        version=version.version,
        float_variant=floats,
        integer_variant=integers,
        dataset=version.dataset,
        images=len(pictures),
        float_accuracy=accuracy(scores.floats, labels),
        integer_accuracy=accuracy(scores.integers, labels),
        agreement=agreement(scores.integers, scores.floats),
        batch=min(BATCH, len(pictures)),
        layers=layers,
        sweep=rows,
        advice=advise(layers, rows, len(pictures)),
    )


def check_outputs(json_file: Path | None, picture: Path | None) -> None:
    """See that the files can be written in the end.

    Raises:
        ArtefactError: the picture's suffix is none that can be drawn.
        FileError: one cannot be written.
    """
    if picture is not None and picture.suffix.lower() not in PICTURES:
        raise ArtefactError(f"--picture {picture}: the name must end with {' or '.join(PICTURES)}")
    for path in (json_file, picture):
        if path is not None:
            check_writable(path)


def write_outputs(found: Explanation, json_file: Path | None, picture: Path | None) -> None:
    """Write what was asked for.

    Raises:
        FileError: one cannot be written.
    """
    if json_file is not None:
        write_file(json_file, json.dumps(found.to_json(), indent=1))
    if picture is not None:
        draw(found, picture)


def _twins(version: ModelVersion, floats: str, integers: str, example: Images) -> Twins:
    for name in (floats, integers):
        if name not in version.variants:
            raise ArtefactError(f"variant {name!r}: not in {version.model}; available: {', '.join(version.variants)}")
    first, second = version.variants[floats].format, version.variants[integers].format
    if first != second:
        raise ArtefactError(
            f"variants {floats!r} and {integers!r}: are {first} and {second}; explain looks into two of one runtime"
        )
    entry: dict[str, Any] = json.loads(version.manifest_json)["variants"][integers]
    names = entry.get("quantization", {}).get("layers", [])
    data = [read_artefact(version.variants[name]) for name in (floats, integers)]
    try:
        if first == "onnx":
            return OnnxTwins(data[0], data[1], partial(_as_taken, version), names)
        configure_torch(version.variants[integers].quantized_engine, 1)
        return TorchScriptTwins(data[0], data[1], example, names)
    except NoTwinsError as error:
        raise ArtefactError(f"variants {floats!r} and {integers!r}: {error}") from None


def _as_taken(version: ModelVersion, batch: Images, takes: Takes) -> Images:
    """A batch of the test set as a graph takes it, converted as the server would."""
    holds: Takes = "UINT8" if batch.dtype == np.uint8 else "FP32"
    batch = np.ascontiguousarray(batch, DTYPES[holds])
    if holds == takes:
        return batch
    converted = convert(batch.data.cast("B"), holds, takes, version)
    return np.frombuffer(converted, DTYPES[takes]).reshape(batch.shape)


def _testset(models: Path, version: ModelVersion) -> tuple[Images, Labels]:
    path = models / version.model / "testset.npz"
    if not version.item_shape:
        raise ArtefactError(f"model {version.model}: explain looks at classifiers with one input of a fixed shape only")
    try:
        pictures, labels = read_testset(models, version.model, version.inputs[0].name)
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise ArtefactError(f"{path}: cannot be read ({error}); it holds images and labels of the model") from None
    if pictures.shape[1:] != version.item_shape or len(labels) != len(pictures):
        raise ArtefactError(
            f"{path}: holds images {list(pictures.shape)} and {len(labels)} labels; the model takes N x "
            f"{list(version.item_shape)}"
        )
    return np.ascontiguousarray(pictures), labels
