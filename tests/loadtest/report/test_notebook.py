"""The notebook runs from top to bottom against a real server and a saved comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from loadtest.report.sample_files import Files
from support.server_process import ServerProcess
from support.tiny_model import classes_of, items
from twinserve_loadtest.record.measurement import Dataset
from twinserve_loadtest.record.testset import TestSet, save_test_set

NOTEBOOK = Path(__file__).parents[3] / "docs" / "notebooks" / "quantization_ab.ipynb"


@pytest.fixture(scope="module")
def executed(
    server: ServerProcess, files: Files, tmp_path_factory: pytest.TempPathFactory
) -> tuple[nbformat.NotebookNode, Path]:
    """The notebook with its outputs, and the page it made."""
    folder = tmp_path_factory.mktemp("notebook")
    images = items(200, seed=4)
    save_test_set(TestSet(images, classes_of(images), Dataset("tiny", "made", 200, full=True)), folder / "testset.npz")
    page = folder / "page.html"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TWINSERVE_TARGET", server.target)
        environment.setenv("TWINSERVE_TEST_SET", str(folder))
        environment.setenv("TWINSERVE_RESULTS", str(files.comparison))
        environment.setenv("TWINSERVE_PAGE", str(page))
        notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
        NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
    return notebook, page


def printed(notebook: nbformat.NotebookNode) -> str:
    outputs: list[Any] = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


def test_it_asks_the_server_and_gets_every_image_right(executed: tuple[nbformat.NotebookNode, Path]) -> None:
    text = printed(executed[0])
    assert "tiny, version 1: fp32, int8" in text
    assert "fp32: 100.00% right (95 %: 98.12% to 100.00%)" in text
    assert "the variants disagree on 0 of 200 images" in text


def test_it_tells_the_verdict_of_the_saved_comparison(executed: tuple[nbformat.NotebookNode, Path]) -> None:
    assert "SHIP: int8 is a quarter the size of fp32" in printed(executed[0])


def test_it_draws_and_makes_the_page(executed: tuple[nbformat.NotebookNode, Path]) -> None:
    notebook, page = executed
    pictures = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == 2
    assert page.read_text().startswith("<!doctype html>")


def test_it_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook.cells)
