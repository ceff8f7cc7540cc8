"""``twinserve compare A B --reuse FILE``: an earlier verdict, given only where it holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console

from twinserve_loadtest.compare.command import print_verdict_json
from twinserve_loadtest.compare.exit_codes import EXIT_CODES, NO_VERDICT
from twinserve_loadtest.compare.terminal import show
from twinserve_loadtest.compare.verdict import VerdictRefusedError, reuse
from twinserve_loadtest.record.comparison import Comparison, ComparisonError
from twinserve_loadtest.record.stamp import read_stamp

if TYPE_CHECKING:
    from pathlib import Path


def run_reuse(path: Path, baseline: str, candidate: str, models: Path, *, as_json: bool) -> int:
    """Show the verdict of ``path``; the exit code is the verdict's, or ``NO_VERDICT`` when it is refused."""
    err = Console(stderr=True)
    try:
        comparison = _read(path, baseline, candidate)
        verdict = reuse(comparison, read_stamp().isa, _artefacts(models, comparison))
    except (ComparisonError, VerdictRefusedError) as error:
        err.print(f"Error: {error}", style="red", highlight=False, markup=False)
        return NO_VERDICT
    if as_json:
        print_verdict_json(comparison, path, EXIT_CODES[verdict.outcome])
    else:
        show(comparison, Console())
    return EXIT_CODES[verdict.outcome]


def _read(path: Path, baseline: str, candidate: str) -> Comparison:
    comparison = Comparison.read(path)
    if (comparison.baseline, comparison.candidate) != (baseline, candidate):
        raise VerdictRefusedError(
            f"{path} compares {comparison.baseline} with {comparison.candidate}, not {baseline} with {candidate}"
        )
    return comparison


def _artefacts(models: Path, comparison: Comparison) -> dict[str, str]:
    """SHA-256 by variant as the manifest in ``models`` says; empty when there is none."""
    manifest = models / comparison.model / comparison.version / "manifest.json"
    try:
        variants = json.loads(manifest.read_text("utf-8"))["variants"]
        return {name: str(entry["sha256"]) for name, entry in variants.items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}
