"""Cores and memory as the cgroup gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinserve_doctor.resources import MIB, cores, memory, shared_memory


@pytest.fixture
def limited(tmp_path: Path) -> Path:
    """A container that may use half a core and 300 MiB."""
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("50000 100000\n")
    (group / "memory.max").write_text(f"{300 * MIB}\n")
    return tmp_path


def test_a_quota_below_one_core_is_told_with_what_it_costs(limited: Path) -> None:
    found = cores(limited)
    assert (found.level, found.facts["cgroup_quota"], found.facts["usable"]) == ("note", 0.5, 1)
    assert "p99" in found.advice


def test_a_container_too_small_for_its_models_is_a_fault(limited: Path) -> None:
    found = memory(3, limited)
    assert found.level == "fault"
    assert "300 MiB usable" in found.found
    assert "--variants" in found.advice


def test_a_machine_with_room_is_fine(tmp_path: Path) -> None:
    assert memory(1, tmp_path).level == "ok"


def test_dev_shm_is_not_needed(tmp_path: Path) -> None:
    assert shared_memory(tmp_path / "nowhere").level == "ok"
