"""What NVIDIA's driver tells of its GPUs, through NVML: ``nvidia-ml-py``, where that is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU now; None: the driver does not tell.

    Attributes:
        uuid: without ``GPU-``; the same in NVML and in torch, whose numbers may differ.
        utilisation: share of the last moment in which a kernel ran, 0..1.
        clock_mhz: of the multiprocessors, now.
    """

    index: int
    name: str
    uuid: str
    driver: str
    utilisation: float | None
    watts: float | None
    limit_watts: float | None
    clock_mhz: int | None
    most_clock_mhz: int | None
    memory_clock_mhz: int | None
    used_bytes: int | None
    #: Of each process that computes on it, by process id.
    process_bytes: dict[int, int]

    def __str__(self) -> str:
        """For a stamp: ``NVIDIA L4, driver 580.95, 1900 of 2040 MHz, memory 6251 MHz, 72 W at most``."""
        parts = [self.name, f"driver {self.driver}"]
        if self.clock_mhz is not None:
            most = "" if self.most_clock_mhz is None else f" of {self.most_clock_mhz}"
            parts.append(f"{self.clock_mhz}{most} MHz")
        if self.memory_clock_mhz is not None:
            parts.append(f"memory {self.memory_clock_mhz} MHz")
        if self.limit_watts is not None:
            parts.append(f"{self.limit_watts:g} W at most")
        return ", ".join(parts)


def gpus() -> list[Gpu]:
    """The GPUs of this machine; none without a driver, or without ``nvidia-ml-py``."""
    with _nvml() as nvml:
        if nvml is None:
            return []
        driver = _asked(nvml, nvml.nvmlSystemGetDriverVersion) or "unknown"
        count = _asked(nvml, nvml.nvmlDeviceGetCount) or 0
        handles = (_asked(nvml, nvml.nvmlDeviceGetHandleByIndex, index) for index in range(count))
        return [_gpu(nvml, index, handle, driver) for index, handle in enumerate(handles) if handle is not None]


def process_bytes(uuid: str, pid: int) -> int | None:
    """Bytes that a process holds on a GPU; None: nobody tells, as in most containers."""
    found = next((gpu for gpu in gpus() if gpu.uuid == uuid.removeprefix("GPU-")), None)
    return None if found is None else found.process_bytes.get(pid)


def _gpu(nvml: Any, index: int, handle: Any, driver: str) -> Gpu:
    def ask(function: Callable[..., Value], *arguments: Any) -> Value | None:
        return _asked(nvml, function, handle, *arguments)

    rates, memory = ask(nvml.nvmlDeviceGetUtilizationRates), ask(nvml.nvmlDeviceGetMemoryInfo)
    drawn, limit = ask(nvml.nvmlDeviceGetPowerUsage), ask(nvml.nvmlDeviceGetEnforcedPowerLimit)
    processes = ask(nvml.nvmlDeviceGetComputeRunningProcesses) or []
    return Gpu(
        index=index,
        name=ask(nvml.nvmlDeviceGetName) or "unknown",
        uuid=(ask(nvml.nvmlDeviceGetUUID) or "").removeprefix("GPU-"),
        driver=driver,
        utilisation=None if rates is None else rates.gpu / 100,
        watts=None if drawn is None else drawn / 1000,
        limit_watts=None if limit is None else limit / 1000,
        clock_mhz=ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
        most_clock_mhz=ask(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
        memory_clock_mhz=ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM),
        used_bytes=None if memory is None else int(memory.used),
        # Without the right to know, the driver tells a process without its memory.
        process_bytes={one.pid: one.usedGpuMemory for one in processes if one.usedGpuMemory},
    )


def _asked(nvml: Any, function: Callable[..., Value], *arguments: Any) -> Value | None:
    """What a function of NVML returns; None where the device or the driver does not have it."""
    try:
        return function(*arguments)
    except nvml.NVMLError:
        return None


@contextmanager
def _nvml() -> Iterator[Any]:
    """The library, ready for use; None: it is not installed, or finds no driver."""
    try:
        import pynvml
    except ImportError:
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()
