"""The snippets for CI systems are YAML, and call ``twinserve compare`` with options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer
import yaml

from twinserve_loadtest.commands.compare import app
from twinserve_loadtest.compare.exit_codes import EXIT_CODES, NO_VERDICT

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text("utf-8")


def commands() -> list[str]:
    """Every command line of both snippets."""
    github, gitlab = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
    (job,) = github["jobs"].values()
    return [*(step["run"] for step in job["steps"] if "run" in step), *gitlab["verdict"]["script"]]


def test_both_snippets_run_the_comparison_with_options_that_it_has() -> None:
    context = typer.Context(typer.main.get_command(app))
    known = {option for parameter in context.command.params for option in parameter.opts}
    found = [line for line in commands() if line.startswith("twinserve compare")]
    assert len(found) == 2
    for line in found:
        used = {word for word in shlex.split(line) if word.startswith("--")}
        assert {"--junit", "--summary", "--gates"} <= used <= known


def test_the_exit_codes_are_those_of_the_command() -> None:
    told = {int(code): verdict for code, verdict in re.findall(r"^\| (\d) \| (.+?) \|$", PAGE, re.MULTILINE)}
    assert told.pop(NO_VERDICT).startswith("none:")
    assert told == {code: name for name, code in EXIT_CODES.items()}
