"""The example in the package's docstring runs as it is written; those of the pages are run by ``tests/docs``."""

from __future__ import annotations

import inspect
import subprocess
import sys

import twinserve_client
from support.digit_server import Server


def test_the_example_runs_as_written(server: Server) -> None:
    lines = (inspect.getdoc(twinserve_client) or "").splitlines()
    example = "\n".join(line.removeprefix("    ") for line in lines if not line or line.startswith("    "))
    assert "127.0.0.1:8500" in example
    program = example.replace("127.0.0.1:8500", server.target)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
