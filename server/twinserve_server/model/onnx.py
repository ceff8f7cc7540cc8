"""The runtime of ONNX files. The one module of the server that imports ONNX Runtime."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.dtypes import DTYPES
from twinserve_server.artefact.manifest import Variant
from twinserve_server.artefact.signature import FREE, Signature, TensorSpec
from twinserve_server.engine.job import Buffer
from twinserve_server.errors import ArtefactError, InferenceError
from twinserve_server.ipc.load_facts import RuntimeFacts
from twinserve_server.model.runtime import Array, Output, Runtime

#: ONNX Runtime's names of the input types it takes.
_INPUT_TYPES: Final[dict[str, DataType]] = {"tensor(uint8)": "UINT8", "tensor(float)": "FP32"}
_PROVIDER: Final = "CPUExecutionProvider"
_ERRORS_ONLY: Final = 3
#: Where ONNX Runtime looks for weights in other files; it must find nothing there. No hash covers such files, and for a
#: graph given as bytes it would look in the folder in which the server was started.
_NOWHERE: Final = "/dev/null"


class Onnx(Runtime):
    """One ONNX graph on the CPU."""

    def __init__(self, variant: Variant, threads: int) -> None:
        if variant.device != "cpu":
            raise ArtefactError(f"device {variant.device!r}: ONNX files run on the CPU; say cpu, or serve TorchScript")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # A thread that spins while waiting would take the core from the gateways.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
        self._options = options
        self._session: ort.InferenceSession
        self._input = ""
        self._takes: DataType = "FP32"
        self._kernels: dict[str, int] = {}

    def load(self, data: bytes, signature: Signature | None = None) -> None:
        try:
            session = ort.InferenceSession(data, self._options, providers=[_PROVIDER])
        except Exception as error:  # noqa: BLE001  (what a damaged file raises is anybody's guess)
            if _NOWHERE in str(error):
                raise ArtefactError(
                    "keeps its weights in another file, which the manifest's hash does not cover; save it as one file "
                    "(onnx.save without external data)"
                ) from None
            raise ArtefactError(
                f"is not an ONNX file that onnxruntime {ort.__version__} can load ({one_line(error)})"
            ) from None
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if signature is not None:
            _check_names("inputs", inputs, signature.inputs, all_of=True)
            _check_names("outputs", outputs, signature.outputs)
            self._session = session
            self._kernels = _kernels(data, self._options, signature)
            return
        if len(inputs) != 1 or len(outputs) != 1:
            raise ArtefactError(f"has {len(inputs)} inputs and {len(outputs)} outputs; one of each is served")
        takes = _INPUT_TYPES.get(inputs[0].type)
        if takes is None:
            raise ArtefactError(f"input {inputs[0].name!r} is {inputs[0].type}; {' or '.join(_INPUT_TYPES)} is served")
        self._session, self._input, self._takes = session, inputs[0].name, takes
        shape = tuple(size if isinstance(size, int) else FREE for size in inputs[0].shape[1:])
        alone = Signature((TensorSpec(self._input, takes, shape),), ())
        self._kernels = _kernels(data, self._options, alone)

    def takes(self, datatype: DataType) -> bool:
        return datatype == self._takes

    def prepare(self, data: Buffer, datatype: DataType, shape: tuple[int, ...]) -> Any:
        return np.frombuffer(data, DTYPES[datatype]).reshape(shape)

    def run(self, batch: Any) -> Output:
        try:
            (output,) = self._session.run(None, {self._input: batch})
        except Exception as error:  # noqa: BLE001  (kernels raise what they like)
            raise InferenceError(f"the forward pass failed: {one_line(error)}") from None
        if not isinstance(output, np.ndarray) or output.dtype.kind != "f":
            kind = output.dtype if isinstance(output, np.ndarray) else type(output).__name__
            raise InferenceError(f"the graph returned {kind}; an array of floating-point numbers is needed")
        return output

    def run_named(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        try:
            found = self._session.run(list(outputs), dict(inputs))
        except Exception as error:  # noqa: BLE001  (kernels raise what they like)
            raise InferenceError(f"the forward pass failed: {one_line(error)}") from None
        for name, value in zip(outputs, found, strict=True):
            if not isinstance(value, np.ndarray):
                raise InferenceError(f"the graph returned a {type(value).__name__} as {name}; a tensor is needed")
        return list(found)

    def describe(self) -> RuntimeFacts:
        return RuntimeFacts("onnx", "onnxruntime", str(ort.__version__), _PROVIDER, self._kernels)


RUNTIME: Final = Onnx


def one_line(error: Exception) -> str:
    """What ONNX Runtime says is wrong, without its source lines."""
    text = " ".join(str(error).split())
    return text.rpartition(" : ")[2][:300] or type(error).__name__


def _check_names(what: str, entries: list[Any], specs: tuple[TensorSpec, ...], *, all_of: bool = False) -> None:
    """Check that the graph has the tensors that the manifest names, and with ``all_of`` no others."""
    found, wanted = [entry.name for entry in entries], [spec.name for spec in specs]
    if set(wanted) - set(found) or (all_of and set(found) - set(wanted)):
        raise ArtefactError(
            f"the graph's {what} are {', '.join(found)}; the manifest names {', '.join(wanted)}: name them alike"
        )


def _kernels(data: bytes, options: ort.SessionOptions, signature: Signature) -> dict[str, int]:
    """How often each kernel runs in one forward pass, by ONNX Runtime's own profiler; empty: it could not tell."""
    item = {
        spec.name: np.zeros((1, *(max(1, size) for size in spec.shape)), DTYPES[spec.datatype])
        for spec in signature.inputs
    }
    found: Counter[str] = Counter()
    try:
        with tempfile.TemporaryDirectory(prefix="twinserve-") as folder:
            profiled = ort.SessionOptions()
            profiled.intra_op_num_threads = options.intra_op_num_threads
            profiled.log_severity_level = _ERRORS_ONLY
            profiled.enable_profiling = True
            profiled.profile_file_prefix = f"{folder}/profile"
            session = ort.InferenceSession(data, profiled, providers=[_PROVIDER])
            session.run(None, item)
            events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    except Exception:  # noqa: BLE001  (a description is no reason not to serve)
        return {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            found[event["args"]["op_name"]] += 1
    return dict(found.most_common())
