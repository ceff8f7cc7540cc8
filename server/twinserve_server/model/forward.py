"""One verified artefact, loaded, checked and warm: bytes in, packed answers out, for any runtime."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from twinserve_server.artefact.datatypes import PIXEL_TYPES, DataType
from twinserve_server.artefact.files import read_artefact
from twinserve_server.artefact.manifest import MAX_BATCH_BYTES, ModelVersion, Variant
from twinserve_server.engine.job import Buffer
from twinserve_server.engine.layout import Form, Layout
from twinserve_server.errors import ArtefactError, InferenceError
from twinserve_server.host.heap import return_freed_memory
from twinserve_server.host.memory import resident_bytes
from twinserve_server.ipc.load_facts import LoadFacts
from twinserve_server.model.convert import convert
from twinserve_server.model.probe import check_answers, check_one
from twinserve_server.model.runtime import Output, Runtime, find_runtime
from twinserve_server.model.warm_up import WarmUp, ranges_of, sizes_to_warm

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one batch and the nanoseconds of each step.

    Attributes:
        classes: uint32, one per image, as bytes.
        probabilities: float32, images x classes, as bytes.
        not_finite: the rows with NaN or infinity; their classes and probabilities are meaningless.
    """

    classes: bytes
    probabilities: bytes
    preprocess_ns: int
    inference_ns: int
    postprocess_ns: int
    not_finite: tuple[int, ...] = ()
    #: Of ``probabilities``, where they are rows of tensors.
    layout: Layout | None = None


class Forward:
    """Runs batches through an artefact."""

    def __init__(
        self,
        version: ModelVersion,
        variant: Variant,
        threads: int,
        max_batch_size: int,
        preferred_batch_sizes: Iterable[int] = (),
        on_progress: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        """Verify, load, check and warm the artefact.

        Args:
            version: its manifest.
            variant: which of its variants.
            threads: per forward pass.
            max_batch_size: the most images in one forward pass.
            preferred_batch_sizes: sizes to warm in addition to the usual ones.
            on_progress: called from time to time with how many of how many batch sizes are warm.

        Raises:
            ArtefactError: it is corrupt, cannot be loaded, or does not match its manifest.
        """
        self.version = version
        self._item_shape = version.item_shape
        #: How many classes each answer has.
        self.classes = version.classes
        self._softmax = version.output_kind == "logits"
        try:
            self.facts = self._load(variant, threads, sizes_to_warm(max_batch_size, preferred_batch_sizes), on_progress)
        except ArtefactError as error:
            # Report once, here, what is wrong with which file.
            message = error.message if variant.path in error.message else f"{variant.path}: {error.message}"
            raise ArtefactError(message) from None

    def __call__(self, data: Buffer, datatype: Form, images: int) -> Answers:
        """Run one batch: ``images`` items of ``datatype``, row-major, little-endian.

        Raises:
            InferenceError: the artefact failed, or returned a shape other than images x classes.
        """
        started = time.perf_counter_ns()
        if isinstance(datatype, Layout):
            raise InferenceError("named tensors came, but the model takes pixels")
        batch = self._prepare(data, datatype, images)
        ready = time.perf_counter_ns()
        output = self._runtime.run(batch)
        done = time.perf_counter_ns()
        self._check_shape(output, images)
        probabilities = self._probabilities(output)
        classes = probabilities.argmax(1).astype(np.uint32).tobytes()
        packed = probabilities.tobytes()
        finite = np.isfinite(probabilities)
        # Searching for a byte takes a tenth of the time of numpy's all().
        not_finite = () if b"\0" not in finite.tobytes() else tuple(np.flatnonzero(~finite.all(1)).tolist())
        return Answers(classes, packed, ready - started, done - ready, time.perf_counter_ns() - done, not_finite)

    def session(self) -> AbstractContextManager[object]:
        """A context to enter once for all passes that follow in this thread."""
        return self._runtime.session()

    def _load(
        self, variant: Variant, threads: int, sizes: list[int], on_progress: Callable[[int, int], None]
    ) -> LoadFacts:
        self._check_batch_bytes(max(sizes))
        runtime = self._runtime = find_runtime(variant)(variant, threads)
        before = _held_bytes()
        started = time.perf_counter()
        runtime.load(read_artefact(variant), self.version.signature)
        load_seconds = time.perf_counter() - started
        self._conversions = conversions(runtime)
        loaded = _held_bytes()
        started = time.perf_counter()
        self._check_one()
        first = _held_bytes()
        self._check_answers(max(sizes))
        warm_up = WarmUp(self._warm, runtime.warm_up_passes, on_progress)
        # One image and a full batch show how much memory is needed; the other sizes only add speed.
        cold = warm_up.warm(sizes[:2])
        at_limit = _held_bytes()
        cold += warm_up.warm(sizes[2:])
        described = runtime.describe()
        #: The largest batch that has run.
        self.warm_limit = max(size for size in sizes if size not in cold)
        return LoadFacts(
            load_seconds=load_seconds,
            warm_up_seconds=time.perf_counter() - started,
            added_load_bytes=loaded - before,
            added_first_inference_bytes=first - before,
            added_batch_limit_bytes=at_limit - before,
            added_warm_up_bytes=_held_bytes() - before,
            runtime=described,
            left_cold=ranges_of(sorted(cold)),
            floats_only=variant.quantized and bool(described.kernels) and not described.computes_in_integers,
        )

    def _check_one(self) -> None:
        check_one(self._run, self.version)

    def _check_answers(self, max_batch_size: int) -> None:
        check_answers(self._run, self.version, max_batch_size)

    def _check_batch_bytes(self, limit: int) -> None:
        check_batch_bytes(limit, max(self.version.item_bytes(datatype) for datatype in self.version.datatypes))

    def _run(self, data: Buffer, datatype: DataType, images: int) -> Output:
        output = self._runtime.run(self._prepare(data, datatype, images))
        self._check_shape(output, images)
        return output

    def _prepare(self, data: Buffer, datatype: DataType, images: int) -> Any:
        target = self._conversions.get(datatype)
        if target is not None:
            data, datatype = convert(data, datatype, target, self.version), target
        return self._runtime.prepare(data, datatype, (images, *self._item_shape))

    def run_blank(self, images: int) -> None:
        """One forward pass over blank items of the first datatype."""
        datatype = self.version.datatypes[0]
        self(bytes(images * self.version.item_bytes(datatype)), datatype, images)

    def _warm(self, images: int) -> None:
        for datatype in self.version.datatypes:
            try:
                self(bytes(images * self.version.item_bytes(datatype)), datatype, images)
            except InferenceError as error:
                raise ArtefactError(f"fails on {images} blank {datatype} items: {error.message}") from None

    def _check_shape(self, output: Output, images: int) -> None:
        if output.shape != (images, self.classes):
            found = " x ".join(map(str, output.shape)) or "a single number"
            raise InferenceError(
                f"forward() returned {found} for {images} item{'s'[: images > 1]}; "
                f"{images} x {self.classes} (items x classes) is expected"
            )

    def _probabilities(self, output: Output) -> FloatArray:
        if self._softmax:
            scores = output.astype(np.float32, copy=False)
            # A row that is not finite becomes NaN, which is reported for that row.
            with np.errstate(all="ignore"):
                weights = np.exp(scores - scores.max(1, keepdims=True))
                return _float32(weights / weights.sum(1, keepdims=True))
        if output.dtype == np.float32:
            return _float32(output)
        # Rounded to half precision, probabilities no longer sum to 1.
        with np.errstate(all="ignore"):
            exact = output.astype(np.float64)
            return _float32(exact / exact.sum(1, keepdims=True))


def conversions(runtime: Runtime) -> dict[DataType, DataType]:
    """By datatype that the loaded artefact does not take: the one it takes instead."""
    taken = [datatype for datatype in PIXEL_TYPES if runtime.takes(datatype)]
    return {datatype: taken[0] for datatype in PIXEL_TYPES if datatype not in taken}


def check_batch_bytes(limit: int, item: int) -> None:
    """Check that a batch of ``limit`` items of so many bytes is not too large.

    Raises:
        ArtefactError: it is too large; the message says which limit is possible.
    """
    if limit * item > MAX_BATCH_BYTES:
        raise ArtefactError(
            f"max_batch_size: {limit} items of {item} bytes make a batch above {MAX_BATCH_BYTES} bytes; "
            f"{MAX_BATCH_BYTES // item} is allowed"
        )


def _float32(values: Output) -> FloatArray:
    return np.ascontiguousarray(values, np.float32)


def _held_bytes() -> int:
    """Anonymous memory in use. What a library has freed and the heap still holds is nobody's."""
    return_freed_memory()
    return resident_bytes().anonymous
