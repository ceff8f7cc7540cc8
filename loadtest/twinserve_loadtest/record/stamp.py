"""The stamp of a measurement: the machine, its state, and everything needed to repeat the run.

A verdict holds for the instruction set it was measured on: without VNNI an INT8 variant may well be slower
than FP32. :attr:`Stamp.isa` is what a verdict is bound to.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from twinserve_host.cores import affinity_cores, cpu_quota
from twinserve_host.gpu import gpus
from twinserve_host.processor import cpu_flags, cpu_name

#: The flags of /proc/cpuinfo that decide how fast FP32 and INT8 kernels run.
ISA_FLAGS = (
    "avx2",
    "fma",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "svei8mm",
    "sve2",
)
_PACKAGES = ("twinserve", "grpcio", "protobuf", "numpy", "scipy", "locust", "hdrhistogram")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where and with what a figure was measured."""

    cpu_model: str = "unknown"
    #: For example "x86_64+amx_int8+avx512_vnni+avx2": the architecture and what INT8 kernels are chosen by.
    isa: str = ""
    isa_flags: list[str] = field(default_factory=list)
    cores_by_affinity: int = 0
    #: The cgroup's CPU limit in cores; None: no limit.
    cores_by_cgroup: float | None = None
    memory_bytes: int | None = None
    kernel: str = ""
    #: Share of CPU time that the hypervisor gave to others while measuring, 0..1.
    steal_share: float | None = None
    load_average: float | None = None
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    #: From the manifest: torch, the Python and ISA that made the artefacts.
    runtime: dict[str, str] = field(default_factory=dict)
    #: SHA-256 by variant.
    artefacts: dict[str, str] = field(default_factory=dict)
    #: Quantised engine by variant.
    engines: dict[str, str] = field(default_factory=dict)
    #: What the server reported about itself: version, transport, gateways, threads.
    server: dict[str, str] = field(default_factory=dict)
    #: GPUs of this machine: name, driver, clocks, power limit.
    gpus: list[str] = field(default_factory=list)
    #: Where energy was read ("RAPL: package-0, dram"), or "unknown: " and why; empty: not checked.
    energy: str = ""


def read_stamp(
    *,
    steal_share: float | None = None,
    runtime: dict[str, str] | None = None,
    artefacts: dict[str, str] | None = None,
    engines: dict[str, str] | None = None,
    server: dict[str, str] | None = None,
    energy: str = "",
) -> Stamp:
    """Read this machine's stamp; anything it does not report is ``None`` or "unknown"."""
    present = cpu_flags()
    flags = [flag for flag in ISA_FLAGS if flag in present]
    return Stamp(
        cpu_model=cpu_name() or "unknown",
        isa=isa_of(platform.machine(), flags),
        isa_flags=flags,
        cores_by_affinity=affinity_cores(),
        cores_by_cgroup=cpu_quota(),
        memory_bytes=_memory_bytes(),
        kernel=platform.release(),
        steal_share=steal_share,
        load_average=os.getloadavg()[0],
        python=f"{platform.python_implementation()} {sys.version.split()[0]}",
        packages=_packages(),
        runtime=runtime or {},
        artefacts=artefacts or {},
        engines=engines or {},
        server=server or {},
        energy=energy,
        gpus=[str(gpu) for gpu in gpus()],
    )


def isa_of(machine: str, flags: list[str]) -> str:
    """The name a verdict is bound to: the architecture and the flags that choose FP32 and INT8 kernels.

    Two machines of the same name run the same kernels; their speeds still differ.
    """
    deciding = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512f", "avx2", "sve", "i8mm", "asimddp", "asimd")
    return "+".join([machine, *(flag for flag in deciding if flag in flags)])


def cpu_times() -> tuple[int, int]:
    """(steal, all) CPU time of the whole machine since boot, in clock ticks; (0, 0) where it is not told."""
    try:
        fields = Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return 0, 0
    ticks = [int(field) for field in fields]
    return (ticks[7] if len(ticks) > 7 else 0), sum(ticks[:8])


def steal_between(before: tuple[int, int], after: tuple[int, int]) -> float | None:
    """Share of CPU time stolen by the hypervisor between two :func:`cpu_times`, 0..1."""
    elapsed = after[1] - before[1]
    return (after[0] - before[0]) / elapsed if elapsed > 0 else None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def _packages() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
