"""The files of a model to be added: their formats, and the tensors that an ONNX graph declares."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from twinserve_models.machine import engine_for
from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.manifest import Variant
from twinserve_server.artefact.signature import FREE, Signature, TensorSpec

PRECISIONS: Final = ("fp32", "fp16", "bf16", "int8")
MAX_BYTES: Final = 4 << 30

_ZIP: Final = b"PK\x03\x04"
_TYPES: Final[dict[str, DataType]] = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
}


class FileProblem(Exception):  # noqa: N818  (becomes a finding, not an end)
    """A file cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that is to become a variant."""

    name: str
    path: Path
    data: bytes
    runtime: Literal["torchscript", "onnx"]
    precision: str

    @property
    def engine(self) -> str:
        """torch's quantised engine that it needs, as far as the name tells."""
        return engine_for(platform.machine()) if self.runtime == "torchscript" and self.precision == "int8" else "none"

    def variant(self) -> Variant:
        """As a runtime takes it."""
        return Variant(
            self.name, str(self.path), "", len(self.data), self.runtime, self.engine, precision=self.precision
        )


@dataclass(frozen=True, slots=True)
class Declared:
    """What an ONNX graph says of a tensor: the batch (``FREE``, or a fixed size; None: it has no dimension at all),
    and the rest. ``datatype`` is its own word for what is none of the Open Inference Protocol's."""

    name: str
    datatype: str
    batch: int | None
    shape: tuple[int, ...]


def read_candidate(name: str, path: Path) -> Candidate:
    """Read a file.

    Raises:
        FileProblem: it cannot be read, or is of no kind that is served.
    """
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise FileProblem(f"{path}: is above {MAX_BYTES >> 30} GiB, the limit")
        data = path.read_bytes()
    except OSError as error:
        raise FileProblem(f"{path}: cannot be read ({error.strerror})") from None
    if not data:
        raise FileProblem(f"{path}: is empty")
    precision = next((known for known in PRECISIONS if name.startswith(known)), "")
    onnx = path.suffix.lower() == ".onnx" or not data.startswith(_ZIP)
    if path.suffix.lower() in (".pt", ".pth", ".ts") and onnx:
        raise FileProblem(
            f"{path}: is not a TorchScript file: no archive; torch.jit.script(model.eval()).save(FILE) writes one"
        )
    return Candidate(name, path, data, "onnx" if onnx else "torchscript", precision)


def declared_tensors(candidate: Candidate) -> tuple[list[Declared], list[Declared]]:
    """Inputs and outputs of an ONNX graph, in its order.

    Raises:
        FileProblem: ONNX Runtime cannot load it.
    """
    import onnxruntime as ort  # noqa: PLC0415  (a TorchScript file needs none of it)

    from twinserve_server.model.onnx import one_line  # noqa: PLC0415

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(candidate.data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  (what a damaged file raises is anybody's guess)
        said = one_line(error)
        hint = ""
        if "external" in str(error).lower():
            hint = "; its weights lie in another file: save the model as one (onnx.save without external data)"
        raise FileProblem(
            f"{candidate.path}: is not an ONNX file that onnxruntime {ort.__version__} can load ({said}){hint}"
        ) from None
    return [_declared(entry) for entry in session.get_inputs()], [_declared(entry) for entry in session.get_outputs()]


def _declared(entry: Any) -> Declared:
    sizes = [size if isinstance(size, int) and size > 0 else FREE for size in entry.shape]
    return Declared(entry.name, _TYPES.get(entry.type, entry.type), sizes[0] if sizes else None, tuple(sizes[1:]))


def signature_of(inputs: list[TensorSpec], outputs: list[TensorSpec]) -> Signature:
    """The tensors as runtimes take them."""
    return Signature(tuple(inputs), tuple(outputs), "mse")
