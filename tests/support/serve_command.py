"""`twinserve serve` where it is expected to end by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run_serve(*flags: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it to its end, in ``folder``, with nothing in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "twinserve_server", "--port", "0", "--metrics-port", "0", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        env={"COLUMNS": "300", "PATH": ""},
    )


def one_line(text: str) -> str:
    """``text`` without its line breaks."""
    return " ".join(text.split())
