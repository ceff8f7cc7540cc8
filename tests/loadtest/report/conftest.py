"""Results files as their commands would write them, made once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.report.sample_bench import sample_bench
from loadtest.report.sample_comparison import sample_comparison
from loadtest.report.sample_files import Files
from loadtest.report.sample_load_test import sample_killed_load_test, sample_load_test
from twinserve_loadtest.record.files import save_record
from twinserve_loadtest.report import read_document
from twinserve_loadtest.report.document import Document


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """One file of every kind."""
    folder = tmp_path_factory.mktemp("results")
    found = Files(*(folder / f"{name}.json" for name in Files.__slots__))
    save_record(sample_load_test(), found.load_test)
    save_record(sample_load_test(1000, full=False), found.small)
    save_record(sample_killed_load_test(), found.killed)
    save_record(sample_comparison(), found.comparison)
    save_record(sample_comparison(quick=True), found.quick)
    save_record(sample_comparison(candidate="int8-dynamic"), found.dynamic)
    found.bench.write_text(json.dumps(sample_bench()))
    return found


@pytest.fixture(scope="session")
def document_of() -> Callable[..., Document]:
    """``document_of(file, ...)``: what a report of these files says."""
    made: dict[tuple[Path, ...], Document] = {}

    def document(*paths: Path) -> Document:
        if paths not in made:
            made[paths] = read_document(paths)
        return made[paths]

    return document
