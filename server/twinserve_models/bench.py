"""The published table: size, accuracy, and the time for the whole test set, for every variant, without a server.

The variants take turns, repeat after repeat, so that a slow moment of the machine meets them all; a time is the median
of its repeats. Accuracy and times come from the same artefacts and images that are served.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from twinserve_models.evaluate import Forward, predict_classes
from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.files import read_artefact
from twinserve_server.artefact.manifest import ModelVersion, Variant
from twinserve_server.engine.job import Buffer
from twinserve_server.model.convert import convert
from twinserve_server.model.forward import conversions
from twinserve_server.model.runtime import find_runtime
from twinserve_server.model.torchscript import configure_torch

BATCH_SIZES = (1, 64)
WARM_UP_BATCHES = 50


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of the Edge ML Quantization Benchmark, from which this project grew.

    Its times are for 10,000 images, batch 64, on a machine it does not name.
    """

    variant: str
    size_kb: float
    accuracy: float
    seconds: float


PUBLISHED_ROWS = (
    PublishedRow("FP32", 4690.61, 98.97, 5.04),
    PublishedRow("INT8 (dynamic)", 1232.20, 98.98, 5.00),
)


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One variant.

    Attributes:
        seconds: for the whole test set, by batch size: every repeat.
    """

    variant: str
    bytes: int
    correct: int
    total: int
    seconds: dict[int, list[float]]

    @property
    def accuracy(self) -> float:
        """Percent of the test images."""
        return 100 * self.correct / self.total

    def median_seconds(self, batch_size: int) -> float:
        """The median over the repeats."""
        return statistics.median(self.seconds[batch_size])


@dataclass(frozen=True, slots=True)
class Bench:
    """The table and what it was measured on."""

    model: str
    version: str
    dataset: dict[str, Any]
    threads: int
    repeats: int
    runtime: dict[str, Any]
    rows: list[BenchRow]

    def row(self, variant: str) -> BenchRow | None:
        """The row of ``variant``."""
        return next((row for row in self.rows if row.variant == variant), None)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; the key ``bench`` tells readers what the document is."""
        return {"bench": {"schema_version": 1, **asdict(self), "published": [asdict(row) for row in PUBLISHED_ROWS]}}


def bench_models(
    version: ModelVersion,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    *,
    threads: int = 1,
    repeats: int = 3,
    on_step: Callable[[str], None] = lambda _: None,
) -> Bench:
    """Measure every variant of ``version`` over ``images`` (uint8, N x item).

    Args:
        version: What its manifest says.
        images: The test images.
        labels: Their classes, N.
        threads: Intra-op threads of torch.
        repeats: How often each time is taken.
        on_step: Told what was just done, once a variant, batch size and repeat.
    """
    modules = {name: _load(version, variant, threads) for name, variant in version.variants.items()}
    seconds: dict[str, dict[int, list[float]]] = {name: {size: [] for size in BATCH_SIZES} for name in modules}
    for repeat in range(repeats):
        for batch_size in BATCH_SIZES:
            for name, module in modules.items():
                if version.variants[name].format == "torchscript":  # whose settings are the whole process's
                    configure_torch(version.variants[name].quantized_engine, threads)
                seconds[name][batch_size].append(_time(module, images, batch_size))
                on_step(f"{name}, batch {batch_size}, repeat {repeat + 1} of {repeats}")
    rows = []
    for name, module in modules.items():
        correct = int((predict_classes(module, images) == labels).sum())
        rows.append(BenchRow(name, version.variants[name].bytes, correct, len(labels), seconds[name]))
    return Bench(version.model, version.version, version.dataset, threads, repeats, version.runtime, rows)


def steps(version: ModelVersion, repeats: int) -> int:
    """How often ``on_step`` is called."""
    return len(version.variants) * len(BATCH_SIZES) * repeats


def read_testset(models: Path, model: str, name: str = "") -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The images (called so, or ``name``) and labels in ``models/<model>/testset.npz``.

    Raises:
        OSError, KeyError, ValueError, BadZipFile: there are none.
    """
    with np.load(models / model / "testset.npz") as held:
        return held["images" if "images" in held or not name else name], held["labels"]


def _load(version: ModelVersion, variant: Variant, threads: int) -> Forward:
    """A variant as its runtime loads it for the server, from a batch of pixels (uint8) to probabilities."""
    runtime = find_runtime(variant)(variant, threads)
    runtime.load(read_artefact(variant))
    target = conversions(runtime).get("UINT8")

    def forward(batch: torch.Tensor) -> torch.Tensor:
        data: Buffer = batch.numpy().data.cast("B")
        datatype: DataType = "UINT8"
        if target is not None:
            data, datatype = convert(data, datatype, target, version), target
        return torch.from_numpy(runtime.run(runtime.prepare(data, datatype, tuple(batch.shape))))

    return forward


def _time(module: Forward, images: npt.NDArray[np.uint8], batch_size: int) -> float:
    batches = torch.from_numpy(images).split(batch_size)
    with torch.inference_mode():
        for batch in batches[:WARM_UP_BATCHES]:
            module(batch)
        if len(batches[-1]) != batch_size:
            module(batches[-1])
        started = time.perf_counter()
        for batch in batches:
            module(batch)
        return time.perf_counter() - started
