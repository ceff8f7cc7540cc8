"""What /proc/cpuinfo tells of the processor: its name and its instructions, on x86 and on ARM."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

#: ARM's kernels tell numbers instead of names: implementer and part.
_ARM_PARTS: Final = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse N1",
    ("0x41", "0xd40"): "Neoverse V1",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd49"): "Neoverse N2",
    ("0x41", "0xd4f"): "Neoverse V2",
    ("0x4e", "0x004"): "Carmel",
}


def cpu_flags(root: Path = Path("/")) -> frozenset[str]:
    """The instruction set flags of the first core, as the kernel calls them; empty where it does not tell.

    Args:
        root: where ``proc`` lies.
    """
    return frozenset(next(iter(_values(root, "flags", "Features")), "").split())


def cpu_name(root: Path = Path("/")) -> str:
    """``AMD EPYC 9R14``, ``Raspberry Pi 5 Model B Rev 1.0 (Cortex-A76)``; empty where it is not told.

    Args:
        root: where ``proc`` lies.
    """
    if names := _values(root, "model name"):
        return names[0]
    parts = zip(_values(root, "CPU implementer"), _values(root, "CPU part"), strict=False)
    cores = ", ".join(
        dict.fromkeys(_ARM_PARTS.get(part, f"ARM core {part[1]} of implementer {part[0]}") for part in parts)
    )
    try:
        board = (root / "proc/device-tree/model").read_text("utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return cores
    return f"{board} ({cores})" if board and cores else board or cores


def _values(root: Path, *keys: str) -> list[str]:
    """The value of each line of that key, core by core."""
    try:
        text = (root / "proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return []
    wanted = "|".join(map(re.escape, keys))
    return [value.strip() for value in re.findall(rf"^(?:{wanted})[ \t]*:(.*)$", text, re.MULTILINE)]
