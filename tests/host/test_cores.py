"""The cores a process may use: never more than the affinity, and no more than its cgroups' quotas."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twinserve_host.cores import cpu_quota, usable_cores


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        pytest.param({}, None, id="no cgroups"),
        pytest.param({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5, id="v2: its own"),
        pytest.param({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, None, id="v2: no limit"),
        pytest.param(
            {
                "proc/self/cgroup": "0::/system.slice/twinserve.service",
                "sys/fs/cgroup/system.slice/twinserve.service/cpu.max": "200000 100000",
            },
            2.0,
            id="v2: a systemd unit's",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/outer/middle/inner",
                "sys/fs/cgroup/outer/cpu.max": "300000 100000",
                "sys/fs/cgroup/outer/middle/cpu.max": "50000 100000",
                "sys/fs/cgroup/outer/middle/inner/cpu.max": "max 100000",
            },
            0.5,
            id="v2: the tightest on the way up",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/docker/4f1e", "sys/fs/cgroup/cpu.max": "100000 100000"},
            1.0,
            id="v2: a container that sees the host's path",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/../../other", "sys/fs/cgroup/cpu.max": "max 100000", "sys/cpu.max": "1 100000"},
            None,
            id="v2: a path out of the namespace stays below the mount",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/outer/inner\n0::/",
                "sys/fs/cgroup/cpu,cpuacct/outer/inner/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu,cpuacct/outer/inner/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu,cpuacct/outer/cpu.cfs_quota_us": "250000",
                "sys/fs/cgroup/cpu,cpuacct/outer/cpu.cfs_period_us": "100000",
            },
            2.5,
            id="v1: up the tree",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/4f1e",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            0.5,
            id="v1: a container that sees the host's path",
        ),
        pytest.param({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "nonsense"}, None, id="not understood"),
    ],
)
def test_the_tightest_quota_counts(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert cpu_quota(write(tmp_path, files)) == quota


@pytest.mark.parametrize(("limit", "cores"), [("150000 100000", 2), ("10000 100000", 1), ("max 100000", 3)])
def test_a_quota_is_rounded_up_and_leaves_at_least_one_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    files = {"proc/self/cgroup": "0::/unit", "sys/fs/cgroup/unit/cpu.max": limit}
    assert usable_cores(write(tmp_path, files)) == cores


def test_a_quota_above_the_affinity_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    files = {"proc/self/cgroup": "0::/unit", "sys/fs/cgroup/unit/cpu.max": "800000 100000"}
    assert usable_cores(write(tmp_path, files)) == 1
