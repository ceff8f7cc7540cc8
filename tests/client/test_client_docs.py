"""The examples in the SDK's documents run as they are written."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import twinserve_client
from support.digit_server import Server

GUIDE = Path(__file__).parents[2] / "docs" / "sdk.md"


def examples() -> list[str]:
    """The Python blocks of the guide, and the example of the package's docstring."""
    guide = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = (inspect.getdoc(twinserve_client) or "").splitlines()
    docstring = [line.removeprefix("    ") for line in lines if not line or line.startswith("    ")]
    return [*guide, "\n".join(docstring)]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.strip().splitlines()[-1].strip()[:40])
def test_an_example_runs_as_written(example: str, server: Server) -> None:
    assert "127.0.0.1:8500" in example
    program = example.replace("127.0.0.1:8500", server.target)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
