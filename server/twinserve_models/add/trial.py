"""Runs the files of a model on a few items, and finds mismatches, field by field."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twinserve_models.add.declare import Output
from twinserve_models.add.files import Candidate, Declared, FileProblem, declared_tensors, signature_of
from twinserve_server.artefact.datatypes import DATATYPES, DataType
from twinserve_server.artefact.dtypes import DTYPES
from twinserve_server.artefact.signature import FREE, TensorSpec
from twinserve_server.errors import ArtefactError, InferenceError
from twinserve_server.ipc.load_facts import RuntimeFacts
from twinserve_server.model.runtime import Runtime, find_runtime
from twinserve_server.model.tensor_forward import FREE_SIZE, items_of

Array = npt.NDArray[Any]

ITEMS: Final = 8
#: A second size for free dimensions, to see which output sizes follow it.
OTHER_SIZE: Final = 11
#: How far an answer may differ between an item alone and in a batch, as a fraction of the answers' spread: a layer
#: quantised dynamically finds its range anew in every batch.
BATCH_TOLERANCE: Final = 0.1
#: What a row of probabilities may sum to.
SUM_TOLERANCE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Finding:
    """A mismatch: in which file and field, and what to do about it."""

    variant: str
    field: str
    problem: str

    def __str__(self) -> str:
        """On one line."""
        return f"{self.variant}: {self.field}: {self.problem}"


@dataclass(slots=True)
class Tried:
    """What a file did.

    Attributes:
        outputs: its answers to the items that all files were tried with; empty: it did not come so far.
    """

    candidate: Candidate
    findings: list[Finding] = field(default_factory=list)
    outputs: list[Array] = field(default_factory=list)
    facts: RuntimeFacts | None = None

    def found(self, where: str, problem: str) -> None:
        """Note what does not fit."""
        self.findings.append(Finding(self.candidate.name, where, problem))


def learn_outputs(
    candidate: Candidate, inputs: list[TensorSpec], outputs: list[Output], limit: int
) -> list[TensorSpec] | Tried:
    """The outputs as they are declared, else as ``candidate`` returns them; or why it cannot be tried."""
    if all(output.spec is not None for output in outputs):
        return [output.spec for output in outputs if output.spec is not None]
    tried = Tried(candidate)
    names = [output.name for output in outputs]
    known = [output.spec for output in outputs if output.spec is not None]
    runtime = _loaded(tried, inputs, known, names, limit)
    if runtime is None:
        return tried
    answers, count = [], min(2, limit)
    for size in (FREE_SIZE, OTHER_SIZE):
        fixed = _sized(inputs, size)
        try:
            answers.append(runtime.run_named(_items(fixed, count, seed=1), names))
        except InferenceError as error:
            tried.found("forward", f"fails on {count} items of {_listed(fixed)} ({error.message}); check --input")
            return tried
    learned = []
    for output, first, second in zip(outputs, *answers, strict=True):
        if output.spec is not None:
            learned.append(output.spec)
            continue
        datatype = _datatype(first)
        if datatype is None or first.ndim < 1 or first.ndim != second.ndim or len(first) != count:
            tried.found(
                f"output {output.name}",
                f"is {first.dtype} {list(first.shape)} for {count} items; the first dimension must be the batch",
            )
            continue
        shape = tuple(a if a == b else FREE for a, b in zip(first.shape[1:], second.shape[1:], strict=True))
        learned.append(TensorSpec(output.name, datatype, shape))
    return tried if tried.findings else learned


def try_file(candidate: Candidate, inputs: list[TensorSpec], outputs: list[TensorSpec], limit: int) -> Tried:
    """Load a file and run it on items in a batch of ``limit`` at most, one by one, and again."""
    tried = Tried(candidate)
    names = [spec.name for spec in outputs]
    runtime = _loaded(tried, inputs, outputs, names, limit)
    if runtime is None:
        return tried
    count = min(ITEMS, limit)
    items = _items(_sized(inputs, FREE_SIZE), count, seed=2)
    batch = _run(tried, runtime, items, names, f"{count} items" if count > 1 else "1 item")
    if batch is None or not _check_outputs(tried, batch, outputs, count):
        return tried
    again = _run(tried, runtime, items, names, "the same items again")
    if again is not None:
        _check_same(tried, names, batch, again)
    if count > 1 and not tried.findings:
        _check_alone(tried, runtime, items, names, batch)
    if any(spec.shape.count(FREE) for spec in inputs):
        other = _run(tried, runtime, _items(_sized(inputs, OTHER_SIZE), count, seed=3), names, f"sizes of {OTHER_SIZE}")
        if other is not None:
            _check_outputs(tried, other, outputs, count)
    tried.facts = runtime.describe()
    tried.outputs = batch
    return tried


def is_probability(scores: Array) -> bool:
    """Whether the rows of a classifier's scores are probabilities; else they are logits."""
    rows = scores.astype(np.float64)
    return bool((rows >= 0).all() and (np.abs(rows.sum(1) - 1) < SUM_TOLERANCE).all())


def _loaded(
    tried: Tried, inputs: list[TensorSpec], outputs: list[TensorSpec], names: list[str], limit: int
) -> Runtime | None:
    """The runtime with the file in it, if that is what ``inputs`` and ``outputs`` (as far as they are known) say."""
    candidate = tried.candidate
    try:
        runtime_of = find_runtime(candidate.variant())
        if candidate.runtime == "onnx":
            takes, gives = declared_tensors(candidate)
            _compare_names(tried, takes, gives, inputs, names)
            for what, specs, entries in (("input", inputs, takes), ("output", outputs, gives)):
                _compare_declared(tried, what, specs, entries, limit)
            if tried.findings:
                return None
        runtime = runtime_of(candidate.variant(), 1)
        runtime.load(candidate.data, signature_of(inputs, [TensorSpec(name, "FP32", ()) for name in names]))
    except (ArtefactError, FileProblem) as error:
        said = error.message if isinstance(error, ArtefactError) else str(error)
        tried.found("file", said.removeprefix(f"{candidate.path}: "))
        return None
    return runtime


def _compare_names(
    tried: Tried, takes: list[Declared], gives: list[Declared], inputs: list[TensorSpec], names: list[str]
) -> None:
    wanted = [spec.name for spec in inputs]
    for what, entries, declared in (("input", takes, wanted), ("output", gives, names)):
        has = [entry.name for entry in entries]
        for name in declared:
            if name not in has:
                tried.found(f"{what} {name}", f"the graph has none of that name; it has {', '.join(has)}")
    for entry in takes:
        if entry.name not in wanted:
            tried.found(f"input {entry.name}", "the graph takes it, but no --input declares it")


def _compare_declared(tried: Tried, what: str, specs: list[TensorSpec], entries: list[Declared], limit: int) -> None:
    """Hold what was declared against what the graph says of itself."""
    by_name = {entry.name: entry for entry in entries}
    for spec in specs:
        found, where = by_name.get(spec.name), f"{what} {spec.name}"
        if found is None:
            continue
        if found.datatype != spec.datatype:
            tried.found(where, f"is declared {spec.datatype}; the graph says {found.datatype}")
        if found.batch is None:
            tried.found(where, "has no dimension for the batch in the graph; the first one must be it")
            continue
        if found.batch != FREE and limit > found.batch:
            tried.found(
                where,
                f"the graph's batch is fixed at {found.batch}; export it with a dynamic first dimension"
                + (", or add it with --max-batch-size 1" if found.batch == 1 else ""),
            )
        # The trial may know an output's sizes better than the graph states them.
        fits = len(found.shape) == len(spec.shape) and all(
            size in (FREE, wanted) for size, wanted in zip(found.shape, spec.shape, strict=True)
        )
        if not fits:
            tried.found(where, f"is declared as {list(spec.shape)} per item; the graph says {list(found.shape)}")


def _run(tried: Tried, runtime: Runtime, items: dict[str, Array], names: list[str], what: str) -> list[Array] | None:
    try:
        return runtime.run_named(items, names)
    except InferenceError as error:
        shapes = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in items.items())
        tried.found("forward", f"fails on {what} ({error.message}); it was given {shapes}: check --input")
        return None


def _check_outputs(tried: Tried, batch: list[Array], outputs: list[TensorSpec], count: int) -> bool:
    before = len(tried.findings)
    for array, spec in zip(batch, outputs, strict=True):
        where = f"output {spec.name}"
        if array.dtype != DTYPES[spec.datatype]:
            tried.found(where, f"is declared {spec.datatype}, but is {array.dtype}")
        if array.ndim == 0 or len(array) != count:
            tried.found(
                where,
                f"has {list(array.shape)} for {count} items; the first dimension must be the batch, of any size "
                "(a trace of one item has its size built in; an LSTM needs batch_first)",
            )
        elif not spec.fits(array.shape[1:]):
            tried.found(where, f"is declared as {list(spec.shape)} per item, but is {list(array.shape[1:])}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            tried.found(where, "holds NaN or infinity for valid input; give the valid range: --input …:LOW..HIGH")
    return len(tried.findings) == before


def _check_same(tried: Tried, names: list[str], batch: list[Array], again: list[Array]) -> None:
    for name, first, second in zip(names, batch, again, strict=True):
        if not np.array_equal(first, second):
            tried.found(
                f"output {name}",
                f"differs between two runs of the same items by up to {_gap(first, second):.3g}; dropout, or another "
                "operator that draws, is on: call eval() before export",
            )


def _check_alone(tried: Tried, runtime: Runtime, items: dict[str, Array], names: list[str], batch: list[Array]) -> None:
    """One item at a time must be answered as in a batch: else the answer depends on who else asks."""
    rows = []
    for place in range(2):
        alone = _run(tried, runtime, {name: array[place : place + 1] for name, array in items.items()}, names, "1 item")
        if alone is None:
            return
        rows.append(alone)
    for index, name in enumerate(names):
        together = batch[index][:2]
        apart = np.concatenate([row[index] for row in rows])
        if apart.shape != together.shape:
            tried.found(f"output {name}", f"is {list(apart.shape[1:])} alone and {list(together.shape[1:])} in a batch")
        elif (gap := _gap(apart, together)) > BATCH_TOLERANCE * _spread(batch[index]):
            tried.found(
                f"output {name}",
                f"of an item differs by up to {gap:.3g} between alone and in a batch; items must not depend on each "
                "other (a BatchNorm in training mode, a softmax over the batch)",
            )


def agreement(first: Tried, other: Tried, classifier: bool) -> tuple[str, bool]:
    """How alike two files answer the items they were tried with, in words, and whether that is little."""
    if classifier:
        same = int((first.outputs[0].argmax(1) == other.outputs[0].argmax(1)).sum())
        total = len(first.outputs[0])
        return f"the same class as {first.candidate.name} for {same} of {total} random items", same * 2 < total
    a, b = (np.concatenate([array.astype(np.float64).ravel() for array in one.outputs]) for one in (first, other))
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    cosine = float(a @ b) / norms if norms else float(np.array_equal(a, b))
    return f"cosine similarity with {first.candidate.name} {cosine:.4f} on random items", cosine < 0.5


def _items(specs: list[TensorSpec], count: int, seed: int) -> dict[str, Array]:
    layout, data = items_of(signature_of(specs, []), count, seed)
    return dict(zip([spec.name for spec in specs], layout.split(data, count), strict=True))


def _sized(specs: Sequence[TensorSpec], size: int) -> list[TensorSpec]:
    return [
        dataclasses.replace(spec, shape=tuple(size if side == FREE else side for side in spec.shape)) for spec in specs
    ]


def _listed(specs: list[TensorSpec]) -> str:
    return ", ".join(map(str, specs))


def _datatype(array: Array) -> DataType | None:
    return next((name for name in DATATYPES if DTYPES[name] == array.dtype), None)


def _gap(first: Array, second: Array) -> float:
    return float(np.abs(first.astype(np.float64) - second.astype(np.float64)).max(initial=0))


def _spread(array: Array) -> float:
    values = array.astype(np.float64)
    return float(values.max() - values.min()) + 1e-3 * float(np.abs(values).max())
