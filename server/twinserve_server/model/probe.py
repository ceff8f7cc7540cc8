"""Try an artefact before it serves: it must return one row per item, and valid probabilities."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.engine.job import Buffer
from twinserve_server.errors import ArtefactError, InferenceError
from twinserve_server.model.runtime import Output

#: Runs one batch (bytes, datatype, items); raises InferenceError also for an output of the wrong shape.
RunBatch = Callable[[Buffer, DataType, int], Output]

#: Random batches tried for each datatype, of this many items, as long as that takes less than a second.
BATCHES: Final = 3
ITEMS: Final = 8
SLOW_SECONDS: Final = 1.0
#: How far the sum of a row may be from 1. Half precision and quantised outputs round each probability separately.
SUM_TOLERANCE: Final = 0.05


def check_one(run: RunBatch, version: ModelVersion) -> None:
    """Run one blank item of every datatype.

    Raises:
        ArtefactError: the artefact fails on it, or answers with another shape than its manifest says.
    """
    for datatype in version.datatypes:
        try:
            run(bytes(version.item_bytes(datatype)), datatype, 1)
        except InferenceError as error:
            item = " x ".join(map(str, version.item_shape))
            raise ArtefactError(
                f"does not fit its manifest: given one {datatype} item of {item}, {error.message}"
            ) from None


def check_answers(run: RunBatch, version: ModelVersion, max_batch_size: int) -> None:
    """Run random batches of every datatype.

    Raises:
        ArtefactError: several items do not get as many rows, a row is not finite, or probabilities do not sum to 1.
    """
    started = time.monotonic()
    for datatype in version.datatypes:
        count = min(ITEMS if time.monotonic() - started < SLOW_SECONDS else 2, max_batch_size)
        for seed in range(BATCHES):
            output = _run_random(run, version, datatype, count, seed)
            if output is not None:
                check_rows(output, version)
            if time.monotonic() - started > SLOW_SECONDS:
                break


def _run_random(run: RunBatch, version: ModelVersion, datatype: DataType, count: int, seed: int) -> Output | None:
    """The answer to random items; None when the artefact refuses these, but not ``count`` blank ones."""
    try:
        return run(random_items(version, datatype, count, seed), datatype, count)
    except InferenceError as random_error:
        try:
            run(bytes(count * version.item_bytes(datatype)), datatype, count)
        except InferenceError:
            raise ArtefactError(
                f"takes 1 item, but not {count}: {random_error.message}; the first dimension of forward()'s input and "
                "output is the batch, of any size (trace with dynamic shapes, or script), or set max_batch_size to 1"
            ) from None
        return None


def check_rows(output: Output, version: ModelVersion) -> None:
    """Check the rows of a classifier.

    Raises:
        ArtefactError: one is not finite, or probabilities do not sum to 1.
    """
    rows = output.astype(np.float64)
    if not np.isfinite(rows).all():
        found = "NaN" if np.isnan(rows).any() else "infinity"
        raise ArtefactError(f"forward() returns {found} for valid input")
    if version.output_kind != "probabilities":
        return
    sums = rows.sum(1)
    worst = float(sums[np.abs(sums - 1).argmax()])
    if abs(worst - 1) > SUM_TOLERANCE or rows.min() < -SUM_TOLERANCE:
        raise ArtefactError(
            f"output.kind is 'probabilities', but forward() returns rows that sum to {worst:.4g} instead of 1 "
            f"(least value {rows.min():.4g}); for raw scores say 'logits', and the server adds the softmax"
        )


def random_items(version: ModelVersion, datatype: DataType, count: int, seed: int) -> bytes:
    """``count`` items whose values are spread evenly over the range that the manifest states."""
    random = np.random.default_rng(seed)
    low, high = version.range_of(datatype)
    size = count * version.item_elements
    if datatype == "UINT8":
        return random.integers(int(low), int(high), size, np.uint8, endpoint=True).tobytes()
    return (random.random(size, np.float32) * np.float32(high - low) + np.float32(low)).astype("<f4").tobytes()
