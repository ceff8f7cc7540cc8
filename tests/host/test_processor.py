"""The processor as /proc/cpuinfo tells it; ARM's tells numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinserve_host.processor import cpu_flags, cpu_name

X86 = (
    "processor\t: 0\nmodel name\t: AMD EPYC 9R14\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nmodel name\t: AMD EPYC 9R14\n"
)
ARM = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd05

processor\t: 1
Features\t: fp asimd asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b
"""


@pytest.mark.parametrize(
    ("cpuinfo", "board", "name", "flags"),
    [
        pytest.param(X86, "", "AMD EPYC 9R14", {"fpu", "avx2"}, id="x86"),
        pytest.param(ARM, "", "Cortex-A55, Cortex-A76", {"fp", "asimd", "asimddp"}, id="large and small cores"),
        pytest.param(
            ARM, "Rock 5B\0", "Rock 5B (Cortex-A55, Cortex-A76)", {"fp", "asimd", "asimddp"}, id="a board's name"
        ),
        pytest.param(
            "CPU implementer\t: 0x61\nCPU part\t: 0x022\n",
            "",
            "ARM core 0x022 of implementer 0x61",
            set(),
            id="a core that we have no name for",
        ),
        pytest.param(None, "", "", set(), id="no /proc"),
    ],
)
def test_name_and_instructions(tmp_path: Path, cpuinfo: str | None, board: str, name: str, flags: set[str]) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    if cpuinfo is not None:
        (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    if board:
        (tmp_path / "proc/device-tree/model").write_text(board)
    assert (cpu_name(tmp_path), cpu_flags(tmp_path)) == (name, frozenset(flags))
