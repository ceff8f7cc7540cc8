"""``twinserve capacity`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loadtest.capacity.test_plan import with_cpu
from twinserve_loadtest.commands.capacity import app
from twinserve_loadtest.record.files import save_record


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A load test with CPU time."""
    path = tmp_path_factory.mktemp("capacity") / "loadtest.json"
    save_record(with_cpu(), path)
    return path


def test_it_prints_servers_cost_check_and_doubts(file: Path) -> None:
    options = ["--rate", "20000", "--p99", "50ms", "--from", str(file), "--price-per-core-hour", "0.04"]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    for words in ("breaks first", "cost per million predictions", "p99 predicted", "EXTRAPOLATION", "int8: "):
        assert words in result.output


def test_json_has_the_same_figures(file: Path) -> None:
    result = CliRunner().invoke(app, ["--rate", "500", "--p99", "0.05s", "--from", str(file), "--json"])
    told = json.loads(result.stdout)
    assert told["demand"]["p99"] == 0.05
    assert [variant["name"] for variant in told["variants"]] == ["fp32", "int8", "int8-dynamic"]
    assert told["exit_code"] == result.exit_code == 0


def test_an_objective_that_cannot_be_kept_ends_with_1(file: Path) -> None:
    result = CliRunner().invoke(app, ["--rate", "500", "--p99", "2us", "--from", str(file)])
    assert result.exit_code == 1
    assert "no number of servers keeps p99" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"--p99": "10"}, "--p99 is '10'; give a time with its unit"),
        ({"--p99": "0ms"}, "--p99 is '0ms'"),
        ({"--rate": "0"}, "--rate is 0; it must lie in 0.001..1e+09"),
        ({"--rate": "nan"}, "--rate is nan"),
        ({"--headroom": "1"}, "--headroom is 1; it must lie in 0..0.95"),
        ({"--cores": "0"}, "--cores is 0"),
        ({"--price-per-core-hour": "-1"}, "--price-per-core-hour is -1"),
        ({"--from": "none.json"}, "none.json: cannot be read"),
    ],
)
def test_what_is_wrong_is_named(file: Path, changed: dict[str, str], text: str) -> None:
    options = {"--rate": "500", "--p99": "50ms", "--from": str(file), **changed}
    result = CliRunner().invoke(app, [word for pair in options.items() for word in pair])
    assert result.exit_code == 2
    assert text in result.output
    assert "Traceback" not in result.output
