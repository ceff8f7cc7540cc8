"""``twinserve report``: what it writes, and its exit codes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loadtest.report.sample_files import Files
from twinserve_loadtest.commands.report import app

RUN = CliRunner()


def test_the_page_lands_beside_the_first_file(files: Files, tmp_path: Path) -> None:
    results = tmp_path / "loadtest.json"
    shutil.copy(files.load_test, results)
    before = results.read_bytes()
    done = RUN.invoke(app, [str(results)])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "loadtest.html",
        "loadtest.json",
        "loadtest.report.json",
    ]
    assert results.read_bytes() == before


def test_page_and_picture_go_where_they_are_wanted(files: Files, tmp_path: Path) -> None:
    page, picture = tmp_path / "a" / "page.html", tmp_path / "b" / "result.svg"
    done = RUN.invoke(
        app,
        [
            str(files.comparison),
            str(files.load_test),
            "--output",
            str(page),
            "--picture",
            str(picture),
            "--theme",
            "dark",
        ],
    )
    assert done.exit_code == 0, done.output
    assert page.is_file()
    assert picture.is_file()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{folder}/none.json"], "none.json: cannot be read"),
        (["{load_test}", "--picture", "{folder}/a.gif"], "a picture is an .svg or .png file"),
        (["{load_test}", "--test-set", "{folder}"], "no test set at"),
        (["{load_test}", "--output", "{load_test}/page.html"], "the report cannot be written"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_done_is_exit_code_2_and_one_sentence(
    arguments: list[str], complaint: str, files: Files, tmp_path: Path
) -> None:
    given = [text.format(folder=tmp_path, load_test=files.load_test) for text in arguments]
    done = RUN.invoke(app, given)
    assert done.exit_code == 2
    assert complaint in done.output
    assert "Traceback" not in done.output


def test_help_shows_examples() -> None:
    done = RUN.invoke(app, ["--help"])
    assert done.exit_code == 0
    assert "twinserve report reports/loadtest.json" in done.output
