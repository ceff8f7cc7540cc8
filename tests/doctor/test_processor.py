"""What a processor has for INT8 decides the engine and what to expect."""

from __future__ import annotations

import pytest

from twinserve_doctor.processor import processor


@pytest.mark.parametrize(
    ("machine", "flags", "level", "engine", "said"),
    [
        ("x86_64", "avx2 avx512f avx512_vnni", "ok", "x86", "AVX-512 VNNI"),
        ("x86_64", "avx2 avx512f avx512_vnni amx_int8", "ok", "x86", "AMX INT8"),
        ("x86_64", "avx2", "note", "x86", "reduce_range"),
        ("aarch64", "asimd asimddp i8mm sve", "ok", "qnnpack", "dot product"),
        ("aarch64", "asimd", "note", "qnnpack", "without dot product"),
        ("aarch64", "", "note", "qnnpack", "tells no flags"),
    ],
)
def test_instructions_decide_the_engine_and_what_to_expect(
    machine: str, flags: str, level: str, engine: str, said: str
) -> None:
    found = processor(machine, frozenset(flags.split()), "a processor")
    assert (found.level, found.facts["engine"]) == (level, engine)
    assert said in f"{found.found} {found.advice}"
    assert found.facts["flags"] == [flag for flag in found.facts["flags"] if flag in flags.split()]
