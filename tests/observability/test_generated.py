"""What is generated is current, and the boards are what Grafana takes and a reader needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models import dashboard

from observability import promql

GENERATORS = ("grafana/generate.py", "prometheus/metrics_doc.py")

panels = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, board in promql.boards().items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


@pytest.mark.parametrize("script", GENERATORS)
def test_committed_files_are_what_the_generator_makes(script: str) -> None:
    command = [sys.executable, str(promql.DEPLOY / script), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", promql.boards())
def test_a_board_is_one_by_the_schema(name: str) -> None:
    board = promql.boards()[name]
    read = dashboard.Dashboard.from_json(board)
    assert read.uid == Path(name).stem
    assert read.schema_version >= 36
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert read.templating is not None
    assert {variable.name for variable in read.templating.list_val or []} >= {
        "datasource",
        "model",
        "variant",
        "instance",
    }


@pytest.mark.parametrize("panel", panels)
def test_a_panel_says_what_it_shows_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["expr"]
        # A table shows the labels themselves.
        assert target["legendFormat"] or panel["type"] == "table"
    letters = [target["refId"] for target in panel["targets"]]
    assert len(set(letters)) == len(letters)


def test_grafana_finds_the_data_source_and_the_boards() -> None:
    folder = promql.DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text("utf-8"))["datasources"]
    scrape = yaml.safe_load((promql.DEPLOY / "prometheus/prometheus.yml").read_text("utf-8"))["global"][
        "scrape_interval"
    ]
    assert source["type"] == "prometheus"
    # Grafana makes $__rate_interval of it: shorter than the scrape interval and charts have gaps.
    assert source["jsonData"]["timeInterval"] == scrape
    (provider,) = yaml.safe_load((folder / "dashboards/twinserve.yml").read_text("utf-8"))["providers"]
    assert provider["type"] == "file"
