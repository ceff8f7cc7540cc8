"""The CPU that artefacts are made and measured on, and the quantised engine that suits it."""

from __future__ import annotations

import platform
from pathlib import Path

#: What decides which FP32 and INT8 kernels run, the strongest first; names as in /proc/cpuinfo.
DECIDING_FLAGS = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512f", "avx2", "i8mm", "asimddp", "asimd")
ARM_MACHINES = frozenset({"aarch64", "arm64", "armv7l", "armv8l"})
VNNI_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


def engine_for(machine: str) -> str:
    """The quantised engine that suits ``machine``, an architecture as :func:`platform.machine` names it."""
    return "qnnpack" if machine.lower() in ARM_MACHINES else "x86"


def reduce_range_for(engine: str, flags: frozenset[str]) -> bool:
    """Whether 8-bit activations could overflow: x86 without VNNI adds two products in 16 bits, which saturates."""
    return engine != "qnnpack" and not flags & VNNI_FLAGS


def cpu_flags() -> frozenset[str]:
    """The instruction set flags of the first core; empty where /proc/cpuinfo does not tell."""
    return frozenset(_cpuinfo("flags", "Features").split())


def cpu_name() -> str:
    """The CPU's model name, or the architecture where it is not told."""
    return _cpuinfo("model name") or platform.machine()


def isa() -> str:
    """The architecture and the deciding flags, e.g. ``x86_64+avx512_vnni+avx512f+avx2``."""
    flags = cpu_flags()
    return "+".join([platform.machine(), *(flag for flag in DECIDING_FLAGS if flag in flags)])


def _cpuinfo(*keys: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in keys:
            return value.strip()
    return ""
