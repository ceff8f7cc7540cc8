"""A CUDA device as the TorchScript runtime uses it: batches there and back, and the memory it takes."""

from __future__ import annotations

import math
import os
from typing import Final

import torch

from twinserve_host.gpu import process_bytes
from twinserve_server.engine.job import Buffer
from twinserve_server.errors import ArtefactError

#: Buffers grow in steps of this many bytes, because a warm-up runs batches of many sizes.
_STEP: Final = 1 << 20


class CudaDevice:
    """One device, and the pinned host memory through which batches travel: only from there are copies asynchronous.

    Everything runs on the current stream; :meth:`to_host` waits until that has finished: the time taken after it is
    that of the work, not of its launch.
    """

    def __init__(self, name: str) -> None:
        """Open the device: makes its context.

        Args:
            name: ``cuda:N``.

        Raises:
            ArtefactError: it is not there.
        """
        if why := missing(name):
            raise ArtefactError(
                f"device {name!r} is not there: {why}; run it on a machine that has it, or serve the variants for "
                "the CPU: name them with --variants"
            )
        self.device = torch.device(name)
        torch.cuda.set_device(self.device)
        torch.zeros(1, device=self.device)
        self._into = self._out_of = torch.empty(0, dtype=torch.uint8)
        self._weights = 0
        self._at_start = torch.cuda.memory_allocated(self.device)
        used = self._used()
        #: What the process takes on the device before any model; None: NVML does not report it.
        self._context = None if used is None else used - torch.cuda.memory_reserved(self.device)

    @property
    def card(self) -> str:
        """What the device is called."""
        return torch.cuda.get_device_name(self.device)

    def loaded(self) -> None:
        """Take what was allocated since the start for the weights."""
        self._weights = torch.cuda.memory_allocated(self.device) - self._at_start

    def to_device(self, data: Buffer, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
        """A batch on its way to the device; its bytes were copied, and may change from now on."""
        size = len(data)
        # The last batch has left the buffer, because its answer has been awaited.
        self._into = _grown(self._into, size)
        self._into[:size].copy_(torch.frombuffer(data, dtype=torch.uint8))
        return self._into[:size].view(dtype).view(shape).to(self.device, non_blocking=True)

    def to_host(self, output: torch.Tensor) -> torch.Tensor:
        """The finished output, in memory that the next one takes."""
        size = output.numel() * output.element_size()
        self._out_of = _grown(self._out_of, size)
        host = self._out_of[:size].view(output.dtype).view(output.shape)
        host.copy_(output, non_blocking=True)
        torch.cuda.current_stream(self.device).synchronize()
        return host

    def memory(self) -> dict[str, int]:
        """Bytes on the device by kind: ``context``, ``weights``, ``peak_reserved`` (by torch, activations included) and
        ``process``, what NVML counts for this process in all. What is not known is absent."""
        found = {
            "context": self._context,
            "weights": self._weights,
            "peak_reserved": torch.cuda.max_memory_reserved(self.device),
            "process": self._used(),
        }
        return {kind: size for kind, size in found.items() if size}

    def _used(self) -> int | None:
        # Not by number: torch and NVML may number devices differently.
        return process_bytes(str(torch.cuda.get_device_properties(self.device).uuid), os.getpid())


def missing(name: str) -> str:
    """Why there is no device ``name``; empty: there is."""
    if not torch.backends.cuda.is_built():
        return f"torch {torch.__version__} was built without CUDA"
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no CUDA device, or no driver that suits it"
    count = torch.cuda.device_count()
    if int(name.removeprefix("cuda:")) >= count:
        return f"this machine has cuda:0{f' to cuda:{count - 1}' if count > 1 else ''}"
    return ""


def _grown(buffer: torch.Tensor, size: int) -> torch.Tensor:
    """``buffer`` if it holds ``size`` bytes, else a larger one of pinned memory."""
    if buffer.numel() >= size:
        return buffer
    return torch.empty(math.ceil(size / _STEP) * _STEP, dtype=torch.uint8, pin_memory=True)
