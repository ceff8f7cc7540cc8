"""The memory a process may use: the machine's, or what its cgroups leave of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twinserve_host.memory import usable_bytes

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param({}, MACHINE, id="no cgroups"),
        pytest.param(
            {
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/memory.max": "1048576",
                "sys/fs/cgroup/a/b/memory.max": "2097152",
            },
            1048576,
            id="v2: the tightest on the way up",
        ),
        pytest.param({"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "max"}, MACHINE, id="v2: no limit"),
        pytest.param(
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/other\n3:memory:/c",
                "sys/fs/cgroup/memory/c/memory.limit_in_bytes": "524288",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
            },
            524288,
            id="v1",
        ),
    ],
)
def test_the_tightest_limit_counts(tmp_path: Path, files: dict[str, str], found: int) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert usable_bytes(tmp_path) == found
