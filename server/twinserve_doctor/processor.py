"""Which instructions the processor has for 8-bit products, and the quantised engine that uses them."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

from twinserve_doctor.finding import Finding
from twinserve_host.processor import cpu_flags, cpu_name
from twinserve_models.machine import ARM_32_BIT, ARM_MACHINES, VNNI_FLAGS, engines_for

#: Features reported, strongest first; names as in /proc/cpuinfo.
X86_FLAGS: Final = ("amx_int8", "amx_bf16", "avx512_vnni", "avx_vnni", "avx512f", "avx2")
ARM_FLAGS: Final = ("sve2", "svei8mm", "sve", "i8mm", "bf16", "asimddp", "asimd")
#: Common names of the kernel's feature names.
SPOKEN: Final = {
    "asimd": "NEON",
    "asimddp": "dot product",
    "bf16": "BF16",
    "sve": "SVE",
    "svei8mm": "SVE i8mm",
    "sve2": "SVE2",
    "amx_int8": "AMX INT8",
    "avx512_vnni": "AVX-512 VNNI",
}


def processor(machine: str | None = None, root: Path = Path("/")) -> Finding:
    """What this processor, or the one described, has for INT8.

    Args:
        machine: the architecture, as :func:`platform.machine` names it.
        root: where ``proc`` lies.
    """
    machine = machine or platform.machine()
    flags, name = cpu_flags(root), cpu_name(root) or machine
    arm = machine.lower() in ARM_MACHINES
    present = [flag for flag in (ARM_FLAGS if arm else X86_FLAGS) if flag in flags]
    engines = engines_for(machine)
    facts = {"architecture": machine, "name": name, "flags": present, "engine": engines[0], "engines": list(engines)}
    spoken = ", ".join(SPOKEN.get(flag, flag) for flag in present) or "no known vector instructions"
    found = f"{name} ({machine}): {spoken}; quantised engine {' or '.join(engines)}"
    if arm:
        fast, missing = "asimddp" in flags, "dot product (asimddp, ARMv8.2)"
        without = "8-bit products take as many instructions as floats"
    else:
        fast, missing = bool(flags & VNNI_FLAGS), "VNNI or AMX"
        without = "8-bit products may saturate, so models are built with 7 bits (reduce_range)"
    if machine.lower() in ARM_32_BIT:
        advice = "a 32-bit system, for which there is no torch: install the 64-bit one, which every ARMv8 runs"
        return Finding("processor", "note", found, advice, facts)
    if not flags:
        return Finding("processor", "note", found, "/proc/cpuinfo lists no flags: measure INT8 here", facts)
    if not fast:
        advice = f"without {missing} {without}: INT8 is smaller but hardly faster; measure with `twinserve compare`"
        return Finding("processor", "note", found, advice, facts)
    return Finding("processor", "ok", found, facts=facts)
