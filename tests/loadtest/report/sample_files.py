"""Where the sample files of a test run lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Files:
    """Paths of the samples."""

    load_test: Path
    small: Path
    killed: Path
    comparison: Path
    quick: Path
    dynamic: Path
    bench: Path
