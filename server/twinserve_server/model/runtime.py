"""The interface between the model process and the library that runs its artefact.

A runtime is one module, ``model/<runtime>.py``, named after the ``runtime`` in manifests. It defines a subclass of
:class:`Runtime` as ``RUNTIME`` and is the only module that imports its library. Everything else (hashes, warm-up,
checks of every answer, softmax, packing, time and memory) is shared by all runtimes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.manifest import Variant
from twinserve_server.artefact.signature import Signature
from twinserve_server.engine.job import Buffer
from twinserve_server.errors import ArtefactError
from twinserve_server.ipc.load_facts import RuntimeFacts

Output = npt.NDArray[np.floating[Any]]
Array = npt.NDArray[Any]


class Runtime(ABC):
    """Runs one artefact. Used by one thread: created, loaded, then run and described in any order."""

    #: How often a batch size must run to reach its full speed.
    warm_up_passes: ClassVar[int] = 1

    @abstractmethod
    def __init__(self, variant: Variant, threads: int) -> None:
        """Set the library up for ``variant`` on ``threads`` threads. What is allocated from now on is the artefact's.

        Raises:
            ArtefactError: the library cannot do what the manifest asks for.
        """

    def session(self) -> AbstractContextManager[object]:
        """What may be entered once for all passes that follow in this thread, instead of for each of them."""
        return nullcontext()

    @abstractmethod
    def load(self, data: bytes, signature: Signature | None = None) -> None:
        """Load the artefact from its verified bytes.

        Args:
            data: the file.
            signature: the tensors of a model that :meth:`run_named` will run; None: :meth:`run` will.

        Raises:
            ArtefactError: this runtime cannot load them; one line, without the file's name.
        """

    def takes(self, datatype: DataType) -> bool:  # noqa: ARG002
        """Whether the loaded artefact takes ``datatype`` as it is; what it does not is converted outside, by the ranges
        that the manifest states."""
        return True

    @abstractmethod
    def prepare(self, data: Buffer, datatype: DataType, shape: tuple[int, ...]) -> Any:
        """A batch (row-major, little-endian, first dimension: items) as :meth:`run` takes it. It is good until
        the next one is prepared. Its way to a device may go on while :meth:`run` waits for it."""

    @abstractmethod
    def run(self, batch: Any) -> Output:
        """Run one forward pass; returns the artefact's output, complete and on the CPU. The caller checks its shape and
        values; types that numpy lacks are returned as float64.

        Raises:
            InferenceError: the artefact failed, or did not return an array of floating-point numbers; one line.
        """

    @abstractmethod
    def run_named(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """One forward pass over named tensors, in the signature's order, each with the batch as its first dimension:
        the tensors named ``outputs``, on the CPU. Shapes, datatypes and values are checked outside.

        Raises:
            InferenceError: the artefact failed, or returned something else; one line.
        """

    @abstractmethod
    def describe(self) -> RuntimeFacts:
        """What runs the artefact, as far as the library tells."""


def find_runtime(variant: Variant) -> type[Runtime]:
    """The runtime of ``variant.format``, imported.

    Raises:
        ArtefactError: the runtime's library is not installed.
    """
    try:
        module = import_module(f"twinserve_server.model.{variant.format}")
    except ModuleNotFoundError as error:
        raise ArtefactError(
            f"variant {variant.name!r}: format {variant.format!r} needs {error.name}, which is not installed: "
            f"pip install 'twinserve[{variant.format}]'"
        ) from None
    return cast("type[Runtime]", module.RUNTIME)
