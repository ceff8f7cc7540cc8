"""The CPU that artefacts are made and measured on, and the quantised engines that suit it."""

from __future__ import annotations

import platform
from typing import Final

from twinserve_host.processor import cpu_flags

#: The features that decide which FP32 and INT8 kernels run, strongest first; names as in /proc/cpuinfo.
DECIDING_FLAGS = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512f", "avx2", "sve", "i8mm", "asimddp", "asimd")
ARM_32_BIT = frozenset({"armv7l", "armv8l"})
ARM_MACHINES = ARM_32_BIT | {"aarch64", "arm64"}
VNNI_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
#: On ARM: QNNPACK's own kernels, made for phones, and oneDNN with Arm's Compute Library, made for servers.
ARM_ENGINES: Final = ("qnnpack", "onednn")


def engines_for(machine: str) -> tuple[str, ...]:
    """The quantised engines that may suit ``machine`` (as :func:`platform.machine` names it), the usual one first."""
    return ARM_ENGINES if machine.lower() in ARM_MACHINES else ("x86",)


def engine_for(machine: str) -> str:
    """The usual quantised engine on ``machine``."""
    return engines_for(machine)[0]


def reduce_range_for(engine: str, flags: frozenset[str], machine: str = "") -> bool:
    """Whether 8-bit activations could overflow: x86 without VNNI adds two products in 16 bits, which saturates."""
    arm = (machine or platform.machine()).lower() in ARM_MACHINES
    return not arm and engine != "qnnpack" and not flags & VNNI_FLAGS


def isa() -> str:
    """The architecture and the deciding flags, e.g. ``x86_64+avx512_vnni+avx512f+avx2``."""
    flags = cpu_flags()
    return "+".join([platform.machine(), *(flag for flag in DECIDING_FLAGS if flag in flags)])
