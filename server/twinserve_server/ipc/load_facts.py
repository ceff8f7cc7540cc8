"""What a model process reports once its artefact is loaded and warm."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

#: How the libraries name kernels that compute in 8-bit integers.
INTEGER_KERNEL: Final = re.compile(r"^quantized::|QLinear|Integer|QGemm|DynamicQuantize(MatMul|LSTM)")


@dataclass(frozen=True, slots=True)
class RuntimeFacts:
    """How an artefact is run.

    Attributes:
        format: the manifest's name for it, such as ``torchscript``.
        library: the distribution that runs it, such as ``torch``.
        version: of the library.
        backend: the selected kernels (torch's quantised engine, an execution provider), or ``none``.
        kernels: number of occurrences of each compute operator in the loaded graph.
        device: ``cpu``, or the device and its name, such as ``cuda:0 (NVIDIA L4)``.
        device_bytes: memory of that device by kind, unless it is the CPU; what is not known is absent.
    """

    format: str
    library: str
    version: str
    backend: str
    kernels: dict[str, int] = field(default_factory=dict)
    device: str = "cpu"
    device_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def computes_in_integers(self) -> bool:
        """Whether a kernel that computes in 8-bit integers is among ``kernels``."""
        return any(INTEGER_KERNEL.search(name) for name in self.kernels)


@dataclass(frozen=True, slots=True)
class LoadFacts:
    """What loading and warming cost: seconds, and anonymous memory gained over the same process without the model."""

    load_seconds: float
    warm_up_seconds: float
    added_load_bytes: int
    added_first_inference_bytes: int
    added_batch_limit_bytes: int
    added_warm_up_bytes: int
    runtime: RuntimeFacts
    #: Batch sizes that the warm-up had no time for, ``65..127``; empty: none.
    left_cold: str
    #: The manifest says that the artefact is quantised, but no kernel that runs it computes in integers.
    floats_only: bool

    @property
    def added_bytes(self) -> dict[str, int]:
        """The memory gained by each stage, as the metrics name it."""
        return {
            "load": self.added_load_bytes,
            "first_inference": self.added_first_inference_bytes,
            "batch_limit": self.added_batch_limit_bytes,
            "warm_up": self.added_warm_up_bytes,
        }


@dataclass(frozen=True, slots=True)
class Cost:
    """What a variant takes, measured when its model process was warm: µs of CPU for one image alone, and for each at
    the batch limit; bytes of memory that the model added."""

    one_us: float
    image_us: float
    batch_limit: int
    added_bytes: int
