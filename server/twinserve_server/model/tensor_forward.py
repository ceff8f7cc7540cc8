"""A model of named tensors, loaded, checked and warm: items in, rows of tensors or of probabilities out."""

from __future__ import annotations

import time

import numpy as np

from twinserve_server.artefact.datatypes import DEFAULT_RANGES
from twinserve_server.artefact.dtypes import DTYPES
from twinserve_server.artefact.manifest import MAX_BATCH_BYTES, ModelVersion
from twinserve_server.artefact.signature import Signature, TensorSpec
from twinserve_server.engine.job import Buffer
from twinserve_server.engine.layout import Array, Form, Layout
from twinserve_server.errors import ArtefactError, InferenceError
from twinserve_server.model.forward import Answers, Forward, check_batch_bytes
from twinserve_server.model.probe import ITEMS, check_rows

#: The size of a free dimension when the model is tried and warmed up.
FREE_SIZE = 16


class TensorForward(Forward):
    """Runs batches of named tensors; what loads, checks, warms and measures it is :class:`Forward`'s."""

    def __call__(self, data: Buffer, datatype: Form, images: int) -> Answers:
        """Run one batch: ``images`` items of the layout ``datatype``.

        Raises:
            InferenceError: the artefact failed, or returned tensors other than those in the manifest.
        """
        started = time.perf_counter_ns()
        if not isinstance(datatype, Layout):
            raise InferenceError("pixels came, but the model takes named tensors")
        inputs = self._named(data, datatype, images)
        ready = time.perf_counter_ns()
        outputs = self._run_named(inputs, images)
        done = time.perf_counter_ns()
        layout = None
        if self.classes:
            probabilities = self._probabilities(outputs[0])
            classes, rows = probabilities.argmax(1).astype(np.uint32).tobytes(), probabilities.tobytes()
            finite = np.isfinite(probabilities).all(1)
        else:
            layout = Layout(
                tuple(
                    (spec.datatype, array.shape[1:])
                    for spec, array in zip(self._signature.outputs, outputs, strict=True)
                )
            )
            if layout.item_bytes * images > MAX_BATCH_BYTES:
                raise InferenceError(f"the outputs of {images} items are above {MAX_BATCH_BYTES} bytes")
            classes, rows = bytes(4 * images), layout.join(outputs)
            finite = finite_rows(outputs, images)
        not_finite = () if finite.all() else tuple(np.flatnonzero(~finite).tolist())
        return Answers(classes, rows, ready - started, done - ready, time.perf_counter_ns() - done, not_finite, layout)

    def run_blank(self, images: int) -> None:
        """One forward pass over blank items."""
        layout, data = items_of(self._signature, images)
        self(data, layout, images)

    @property
    def _signature(self) -> Signature:
        assert self.version.signature is not None
        return self.version.signature

    def _named(self, data: Buffer, layout: Layout, images: int) -> dict[str, Array]:
        names = [spec.name for spec in self._signature.inputs]
        return dict(zip(names, layout.split(data, images), strict=True))

    def _run_named(self, inputs: dict[str, Array], images: int) -> list[Array]:
        """The outputs, of the datatypes and shapes that the manifest states."""
        specs = self._signature.outputs
        outputs = self._runtime.run_named(inputs, [spec.name for spec in specs])
        for spec, array in zip(specs, outputs, strict=True):
            if array.dtype != DTYPES[spec.datatype]:
                raise InferenceError(f"output {spec.name} is {array.dtype}; the manifest says {spec.datatype}")
            if not array.ndim or array.shape[0] != images or not spec.fits(array.shape[1:]):
                raise InferenceError(
                    f"output {spec.name} is {list(array.shape)} for {images} item{'s'[: images > 1]}; "
                    f"the manifest says {[images, *spec.shape]}, the first dimension being the batch"
                )
        return outputs

    def _warm(self, images: int) -> None:
        try:
            self.run_blank(images)
        except InferenceError as error:
            raise ArtefactError(f"fails on {images} blank items: {error.message}") from None

    def _check_one(self) -> None:
        try:
            self.run_blank(1)
        except InferenceError as error:
            raise ArtefactError(f"does not fit its manifest: given one blank item, {error.message}") from None

    def _check_answers(self, max_batch_size: int) -> None:
        count = min(ITEMS, max_batch_size)
        try:
            self.run_blank(count)
        except InferenceError as error:
            raise ArtefactError(
                f"takes 1 item, but not {count}: {error.message}; the first dimension of every input and output is the "
                "batch, of any size, or set max_batch_size to 1"
            ) from None
        layout, data = items_of(self._signature, count, seed=0)
        try:
            outputs = self._run_named(self._named(data, layout, count), count)
        except InferenceError:
            return  # it rejects these items, not their number
        if not finite_rows(outputs, count).all():
            raise ArtefactError("returns NaN or infinity for valid input; state the accepted values as ranges")
        if self.classes:
            check_rows(outputs[0], self.version)

    def _check_batch_bytes(self, limit: int) -> None:
        layout, _ = items_of(self._signature, 0)
        check_batch_bytes(limit, layout.item_bytes)


def items_of(signature: Signature, count: int, seed: int | None = None) -> tuple[Layout, bytes]:
    """``count`` items, blank or drawn with ``seed`` from the ranges that the manifest states, and their layout."""
    random = None if seed is None else np.random.default_rng(seed)
    arrays = [_items(spec, count, random) for spec in signature.inputs]
    layout = Layout(
        tuple((spec.datatype, array.shape[1:]) for spec, array in zip(signature.inputs, arrays, strict=True))
    )
    return layout, layout.join(arrays)


def _items(spec: TensorSpec, count: int, random: np.random.Generator | None) -> Array:
    shape = (count, *(FREE_SIZE if size < 0 else size for size in spec.shape))
    # Integers without a range may mean anything, even an index into two rows.
    low, high = spec.range or DEFAULT_RANGES["FP32"]
    dtype = DTYPES[spec.datatype]
    if random is None:
        return np.full(shape, min(max(0, low), high), dtype)
    if dtype.kind == "f":
        return np.asarray(random.random(shape) * (high - low) + low).astype(dtype)
    return np.asarray(np.floor(low + random.random(shape) * (high - low + 1))).clip(low, high).astype(dtype)


def finite_rows(outputs: list[Array], images: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which items have finite numbers only, in every output."""
    finite = np.ones(images, np.bool_)
    for array in outputs:
        if array.dtype.kind == "f":
            finite &= np.isfinite(array.reshape(images, -1)).all(1)
    return finite


def forward_of(version: ModelVersion) -> type[Forward]:
    """What runs the model: named tensors, or the lean path."""
    return Forward if version.signature is None else TensorForward
