"""What a user's pip gets: the wheel of the sources, built by the step that the images build it by."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.made_once import made_once

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"


def built_wheel(factory: pytest.TempPathFactory) -> Path:
    """The wheel of a pristine copy of the sources, so that no stub of this checkout slips in; one for a whole run."""
    (found,) = made_once(factory, "wheel", _build).glob("*.whl")
    return found


def _build(folder: Path) -> None:
    step = re.search(r"RUN python (-m pip wheel .*) --wheel-dir /wheels \.$", DOCKERFILE.read_text(), re.MULTILINE)
    assert step
    command = [sys.executable, *step[1].split(), "--wheel-dir", str(folder), str(_copy_sources(folder / "source"))]
    subprocess.run(command, check=True, capture_output=True, timeout=250)


def _copy_sources(to: Path) -> Path:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).write_bytes((ROOT / name).read_bytes())
    return to
