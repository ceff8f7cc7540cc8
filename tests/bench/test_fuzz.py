"""Whatever a stranger sends or writes is taken or refused; nothing is blamed on the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from twinserve_bench.reliability.fuzz.mutator import mutations
from twinserve_bench.reliability.fuzz.readers import Reader, WaitedError, fuzz, readers

SEED = 14
#: How many each: those that read files, and all settings, take milliseconds.
COUNTS = {
    "Predict": 3000,
    "ModelInfer": 3000,
    "REST": 3000,
    "tokens": 3000,
    "manifest": 300,
    "traffic file": 300,
    "settings": 60,
}


@pytest.fixture(scope="module")
def all_readers(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    manifest = json.loads((tiny_models / "tiny" / "1" / "manifest.json").read_text())
    return readers(tmp_path_factory.mktemp("fuzz"), (json.dumps({**manifest, "model": "m"}).encode(),))


def test_every_reader_is_tried(all_readers: dict[str, Reader]) -> None:
    assert all_readers.keys() == COUNTS.keys()


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_what_is_spoilt_is_taken_or_refused(all_readers: dict[str, Reader], name: str, count: int) -> None:
    found = fuzz(all_readers[name], SEED, count)
    assert not found.faults, found.faults[:3]
    assert found.refused > count // 10


@pytest.mark.parametrize("name", ["Predict", "ModelInfer"])
def test_what_is_not_spoilt_gets_past_every_check(all_readers: dict[str, Reader], name: str) -> None:
    reader = all_readers[name]
    for data in reader.good:
        # It waits for a model process, for a while.
        with suppress(WaitedError):
            reader.read(data)


def test_the_same_seed_spoils_in_the_same_way() -> None:
    def some(seed: int) -> list[bytes]:
        return list(mutations((b"one good message", b"another"), seed, 50))

    assert some(1) == some(1)
    assert some(1) != some(2)


@pytest.mark.parametrize("fault", [ValueError("?"), RecursionError(), MemoryError()])
def test_what_a_reader_does_not_refuse_in_its_own_words_is_a_fault(fault: Exception) -> None:
    def read(data: bytes) -> None:
        raise fault

    reading: Callable[[bytes], object] = read
    found = fuzz(Reader((b"good",), reading), SEED, 3)
    assert [said.split(":")[0] for _, said in found.faults] == [type(fault).__name__] * 3
