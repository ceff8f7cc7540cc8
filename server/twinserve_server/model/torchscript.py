"""One verified artefact, loaded and warm: bytes in, packed answers out. Imports torch."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from twinserve_server.artefact.manifest import DataType, ModelVersion, Variant, verify_artefact
from twinserve_server.engine.job import Buffer
from twinserve_server.errors import ArtefactError, InferenceError
from twinserve_server.host.memory import resident_bytes
from twinserve_server.model.heap import return_freed_memory
from twinserve_server.model.torch_runtime import configure_torch

# What came off the socket is read-only bytes, and no artefact writes its input.
warnings.filterwarnings("ignore", message="The given buffer is not writable")

#: What a forward pass can raise: torch's own errors, and ``raise`` in a script.
FORWARD_ERRORS: Final = (RuntimeError, torch.jit.Error)

#: Were each size to run, the warm-up would grow with the square of the limit: 4096 would take hours.
EVERY_SIZE_UP_TO: Final = 64

_DTYPES: dict[DataType, torch.dtype] = {"UINT8": torch.uint8, "FP32": torch.float32}


@dataclass(frozen=True, slots=True)
class LoadFacts:
    """What loading and warming cost: seconds, and anonymous PSS gained over the same process without the model."""

    load_seconds: float
    warm_up_seconds: float
    added_load_bytes: int
    added_first_inference_bytes: int
    added_batch_limit_bytes: int
    added_warm_up_bytes: int
    torch: str


@dataclass(frozen=True, slots=True)
class Answers:
    """The packed answers of one batch and the nanoseconds of each step."""

    classes: bytes
    probabilities: bytes
    preprocess_ns: int
    inference_ns: int
    postprocess_ns: int


class Forward:
    """Runs batches through a TorchScript artefact."""

    def __init__(
        self,
        version: ModelVersion,
        variant: Variant,
        threads: int,
        max_batch_size: int,
        preferred_batch_sizes: Iterable[int] = (),
    ) -> None:
        """Verify, load and warm the artefact.

        Raises:
            ArtefactError: it is corrupt, is not TorchScript, or does not fit its manifest.
        """
        self._version = version
        self._sizes = sizes_to_warm(max_batch_size, preferred_batch_sizes)
        self._softmax = version.output_kind == "logits"
        verify_artefact(variant)
        configure_torch(variant.engine, threads)
        before = _held_bytes()
        started = time.perf_counter()
        try:
            self._module: Callable[[torch.Tensor], torch.Tensor] = torch.jit.load(variant.path).eval()
        except RuntimeError as error:
            raise ArtefactError(f"{variant.path}: is not a TorchScript file torch can load ({error})") from None
        load_seconds = time.perf_counter() - started
        loaded = _held_bytes()
        started = time.perf_counter()
        self._check_output(variant)
        first = _held_bytes()
        self._warm_up(max_batch_size)
        at_limit = _held_bytes()
        self._warm_up_all()
        self.facts = LoadFacts(
            load_seconds=load_seconds,
            warm_up_seconds=time.perf_counter() - started,
            added_load_bytes=loaded - before,
            added_first_inference_bytes=first - before,
            added_batch_limit_bytes=at_limit - before,
            added_warm_up_bytes=_held_bytes() - before,
            torch=str(torch.__version__),
        )

    def __call__(self, data: Buffer, datatype: DataType, images: int) -> Answers:
        """Run one batch: ``images`` items of ``datatype``, row-major, little-endian.

        Raises:
            InferenceError: the artefact failed on it.
        """
        started = time.perf_counter_ns()
        with torch.inference_mode():
            batch = torch.frombuffer(data, dtype=_DTYPES[datatype]).view(images, *self._version.item_shape)
            ready = time.perf_counter_ns()
            try:
                output = self._module(batch)
            except FORWARD_ERRORS as error:
                raise InferenceError(f"the forward pass failed: {_last_line(error)}") from None
            done = time.perf_counter_ns()
            probabilities = (torch.softmax(output, 1) if self._softmax else output).numpy()
        classes = probabilities.argmax(1).astype(np.uint32).tobytes()
        packed = np.ascontiguousarray(probabilities, np.float32).tobytes()
        return Answers(classes, packed, ready - started, done - ready, time.perf_counter_ns() - done)

    def _blank(self, datatype: DataType, images: int) -> bytearray:
        size = images * self._version.item_elements * (4 if datatype == "FP32" else 1)
        return bytearray(size)

    def _check_output(self, variant: Variant) -> None:
        expected = (1, self._version.classes)
        for datatype in self._version.datatypes:
            try:
                with torch.inference_mode():
                    item = torch.zeros((1, *self._version.item_shape), dtype=_DTYPES[datatype])
                    output = self._module(item)
            except FORWARD_ERRORS as error:
                raise ArtefactError(
                    f"{variant.path}: forward() does not take {datatype} of shape {tuple(item.shape)}, "
                    f"as its manifest says: {_last_line(error)}"
                ) from None
            if not isinstance(output, torch.Tensor) or tuple(output.shape) != expected:
                found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
                raise ArtefactError(f"{variant.path}: forward() returned {found}, the manifest says {expected}")

    def _warm_up(self, images: int) -> None:
        for datatype in self._version.datatypes:
            self(self._blank(datatype, images), datatype, images)

    def _warm_up_all(self) -> None:
        # TorchScript specialises on its first calls, and no user shall meet one: hence twice.
        for _ in range(2):
            for images in self._sizes:
                self._warm_up(images)


def sizes_to_warm(max_batch_size: int, preferred_batch_sizes: Iterable[int] = ()) -> list[int]:
    """The batch sizes that run before anybody asks, ascending.

    Each one up to ``EVERY_SIZE_UP_TO``, then powers of two, those that batches are made of on purpose, and the limit.
    oneDNN makes a kernel for each size. Above the bound the first batch of a size that did not run waits for it: of the
    MNIST network, with one thread, some 2 ms in the median (FP32 1.8, INT8 1.5; one in ten more than 7 and 3), on top
    of the 20 to 190 (7 to 50) that 65 to 512 images take. Its memory is there: the limit ran.
    """
    sizes = {*range(1, EVERY_SIZE_UP_TO + 1), *preferred_batch_sizes}
    size = 2 * EVERY_SIZE_UP_TO
    while size < max_batch_size:
        sizes.add(size)
        size *= 2
    return [*sorted(size for size in sizes if size < max_batch_size), max_batch_size]


def _held_bytes() -> int:
    """Anonymous memory in use. What torch has freed and the heap still holds is nobody's."""
    return_freed_memory()
    return resident_bytes().anonymous


def _last_line(error: Exception) -> str:
    """What torch says is wrong, without the trace of its graph."""
    return str(error).strip().splitlines()[-1][:500]
