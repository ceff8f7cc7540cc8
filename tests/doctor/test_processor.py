"""What a processor has for INT8 decides the engine and what to expect."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinserve_doctor.processor import processor

#: Two boards as their kernels describe a core.
PI_4 = "Features\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n"
PI_5 = (
    "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp\n"
    "CPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"
)
GRAVITON = "Features : asimd asimddp sve i8mm bf16 svei8mm sve2\nCPU implementer : 0x41\nCPU part : 0xd4f\n"


def x86(flags: str) -> str:
    return f"model name\t: a processor\nflags\t\t: {flags}\n"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "level", "engines", "said"),
    [
        ("x86_64", x86("avx2 avx512f avx512_vnni"), "ok", ["x86"], "AVX-512 VNNI"),
        ("x86_64", x86("avx2 avx512f avx512_vnni amx_int8"), "ok", ["x86"], "AMX INT8"),
        ("x86_64", x86("avx2"), "note", ["x86"], "reduce_range"),
        (
            "aarch64",
            PI_4,
            "note",
            ["qnnpack", "onednn"],
            "Cortex-A72 (aarch64): NEON; quantised engine qnnpack or onednn",
        ),
        ("aarch64", PI_4, "note", ["qnnpack", "onednn"], "without dot product"),
        ("aarch64", PI_5, "ok", ["qnnpack", "onednn"], "Cortex-A76 (aarch64): dot product, NEON;"),
        ("aarch64", GRAVITON, "ok", ["qnnpack", "onednn"], "SVE2, SVE i8mm, SVE, i8mm, BF16, dot product, NEON"),
        ("aarch64", "", "note", ["qnnpack", "onednn"], "lists no flags"),
        ("armv7l", "Features\t: half thumb neon vfpv4\n", "note", ["qnnpack", "onednn"], "install the 64-bit one"),
    ],
)
def test_instructions_decide_the_engine_and_what_to_expect(
    tmp_path: Path, machine: str, cpuinfo: str, level: str, engines: list[str], said: str
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    found = processor(machine, tmp_path)
    assert (found.level, found.facts["engine"], found.facts["engines"]) == (level, engines[0], engines)
    assert said in f"{found.found} {found.advice}"
    assert set(found.facts["flags"]) <= set(cpuinfo.split())
