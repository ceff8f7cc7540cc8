"""The runtime of TorchScript files. With ``torch_cuda`` the one module of the server that imports torch."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, ClassVar, Final

import torch

from twinserve_server.artefact.datatypes import DataType
from twinserve_server.artefact.manifest import Variant
from twinserve_server.artefact.signature import Signature
from twinserve_server.engine.job import Buffer
from twinserve_server.errors import ArtefactError, InferenceError
from twinserve_server.host.heap import keep_freed_memory
from twinserve_server.ipc.load_facts import RuntimeFacts
from twinserve_server.model.runtime import Array, Output, Runtime
from twinserve_server.model.torch_cuda import CudaDevice

# Bytes from the socket are read-only, and no artefact writes to its input.
warnings.filterwarnings("ignore", message="The given (buffer|NumPy array) is not writable")

_DTYPES: Final[dict[DataType, torch.dtype]] = {"UINT8": torch.uint8, "FP32": torch.float32}
#: A batch up to this size is copied into permanent memory, which costs less than a new tensor.
SMALL_BYTES: Final = 64 << 10
#: The operators whose kernels decide a model's speed and precision.
_KERNELS: Final = re.compile(
    r"(quantized|mkldnn|onednn|prepacked|mkldnn_prepacked)::"
    r"|aten::(_?conv|linear|mm|bmm|addmm|baddbmm|matmul|einsum|lstm|gru|rnn|embedding|scaled_dot_product_attention)"
)


class TorchScript(Runtime):
    """One TorchScript module, on the CPU or on a CUDA device."""

    #: The first call of a graph is profiled; the second compiles what was recorded.
    warm_up_passes: ClassVar[int] = 2

    def __init__(self, variant: Variant, threads: int) -> None:
        configure_torch(variant.quantized_engine, threads)
        #: None: the CPU.
        self._cuda = None if variant.device == "cpu" else _open(variant)
        self._backend = variant.quantized_engine
        self._module: Callable[[torch.Tensor], Any]
        self._kernels: dict[str, int] = {}
        self._small = bytearray(SMALL_BYTES)
        self._small_view = memoryview(self._small)
        #: The tensors over it, by datatype and shape.
        self._small_batches: dict[tuple[DataType, tuple[int, ...]], torch.Tensor] = {}

    def session(self) -> AbstractContextManager[object]:
        # Entered once, instead of for every pass.
        return torch.inference_mode()

    def load(self, data: bytes, signature: Signature | None = None) -> None:  # noqa: ARG002  (any module will do)
        try:
            # Wherever it was saved, it runs on the manifest's device.
            module = torch.jit.load(io.BytesIO(data), map_location=self._cuda.device if self._cuda else "cpu").eval()
        except Exception as error:  # noqa: BLE001  (what a damaged file raises is anybody's guess)
            raise ArtefactError(
                f"is not a TorchScript file that torch {torch.__version__} can load ({one_line(error)}); "
                "torch.jit.save writes one"
            ) from None
        self._module = module
        self._kernels = _kernels(module)
        if self._cuda is not None:
            self._cuda.loaded()

    def prepare(self, data: Buffer, datatype: DataType, shape: tuple[int, ...]) -> torch.Tensor:
        if self._cuda is not None:
            return self._cuda.to_device(data, _DTYPES[datatype], shape)
        size = len(data)
        if size > SMALL_BYTES:
            return torch.frombuffer(data, dtype=_DTYPES[datatype]).view(shape)
        self._small_view[:size] = data
        batch = self._small_batches.get((datatype, shape))
        if batch is None:
            whole = torch.frombuffer(self._small, dtype=_DTYPES[datatype], count=math.prod(shape))
            batch = self._small_batches[datatype, shape] = whole.view(shape)
        return batch

    def run(self, batch: torch.Tensor) -> Output:
        try:
            if torch.is_inference_mode_enabled():
                output = self._module(batch)
            else:
                with torch.inference_mode():
                    output = self._module(batch)
            if self._cuda is not None and isinstance(output, torch.Tensor) and output.layout is torch.strided:
                # Failures on the device appear here, where its stream has finished.
                output = self._cuda.to_host(output)
        except Exception as error:  # noqa: BLE001  (a script raises what it likes, and so does torch)
            raise InferenceError(f"the forward pass failed: {one_line(error)}") from None
        if not isinstance(output, torch.Tensor):
            raise InferenceError(f"forward() returned a {type(output).__name__} instead of one tensor")
        if not output.is_floating_point() or output.layout is not torch.strided:
            raise InferenceError(
                f"forward() returned a tensor of {output.dtype} ({output.layout}); a dense one of floating-point "
                "numbers is needed"
            )
        if output.dtype is torch.bfloat16:
            output = output.double()  # numpy has no bfloat16
        array: Output = output.numpy()
        return array

    def run_named(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        try:
            with torch.inference_mode():
                returned = self._module(*map(self._there, inputs.values()))
        except Exception as error:  # noqa: BLE001  (a script raises what it likes, and so does torch)
            raise InferenceError(f"the forward pass failed: {one_line(error)}") from None
        if isinstance(returned, dict):
            if missing := [name for name in outputs if name not in returned]:
                raise InferenceError(f"forward() returned {', '.join(map(str, returned))}; {missing[0]} is missing")
            found = [returned[name] for name in outputs]
        else:
            found = list(returned) if isinstance(returned, tuple | list) else [returned]
        if len(found) != len(outputs):
            raise InferenceError(f"forward() returned {len(found)} values; {len(outputs)} tensors are expected")
        return [_array(name, tensor) for name, tensor in zip(outputs, found, strict=True)]

    def describe(self) -> RuntimeFacts:
        facts = RuntimeFacts("torchscript", "torch", str(torch.__version__), self._backend, self._kernels)
        if self._cuda is None:
            return facts
        device = f"{self._cuda.device} ({self._cuda.card})"
        return replace(facts, device=device, device_bytes=self._cuda.memory())

    def _there(self, array: Array) -> torch.Tensor:
        """A tensor where the module runs. Copies from memory that is not pinned are waited for."""
        tensor = torch.from_numpy(array)
        return tensor if self._cuda is None else tensor.to(self._cuda.device)


RUNTIME: Final = TorchScript


def _array(name: str, tensor: object) -> Array:
    if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided or tensor.is_quantized:
        raise InferenceError(f"forward() returned a {type(tensor).__name__} as {name}; a dense tensor is needed")
    tensor = tensor.cpu()  # which waits, where it is not there yet
    # numpy has no bfloat16.
    array: Array = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()
    return array


def _open(variant: Variant) -> CudaDevice:
    if variant.quantized:
        raise ArtefactError(
            f"device {variant.device!r}: torch has no INT8 kernels for CUDA; use fp32, fp16 or bf16 there, and "
            "run INT8 on the CPU"
        )
    return CudaDevice(variant.device)


def configure_torch(engine: str, threads: int) -> None:
    """Set what a TorchScript artefact needs before it is loaded.

    Args:
        engine: the manifest's ``engine``: torch's quantised backend, or ``none``.
        threads: per forward pass.

    Raises:
        ArtefactError: this build of torch has no such backend.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    if engine != "none":
        known = torch.backends.quantized.supported_engines
        if engine not in known:
            raise ArtefactError(f"engine {engine!r} is not in this build of torch, which has: {', '.join(known)}")
        torch.backends.quantized.engine = engine


def one_line(error: Exception) -> str:
    """torch's error message, without its C++ stack, the trace of a graph or a list of all kernels."""
    lines = str(error).split("\nException raised from")[0].strip().splitlines() or [type(error).__name__]
    # An interpreter's trace ends with the error; all other messages begin with it.
    raised = [line for line in lines if re.match(r"\s*[\w.]*(Error|Exception)\b", line)]
    return (raised[-1] if raised else lines[0]).strip()[:300]


def _kernels(module: torch.jit.ScriptModule) -> dict[str, int]:
    """How often each operator of ``_KERNELS`` occurs in the graph, including branches."""
    found: Counter[str] = Counter()
    graph = module.inlined_graph  # its blocks live no longer than it does
    blocks: list[Any] = [graph]
    while blocks:
        for node in blocks.pop().nodes():
            blocks += node.blocks()
            if _KERNELS.match(node.kind()):
                found[node.kind()] += 1
    return dict(found.most_common())
