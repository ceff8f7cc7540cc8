"""Prometheus' own checker on what is committed and on what the server exposes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest
import yaml
from prometheus_client.openmetrics import parser

from observability import promql
from observability.prometheus_process import DEPLOY, tool

if TYPE_CHECKING:
    from observability.conftest import Observed

parse: Any = parser.text_string_to_metric_families
RULE_TESTS = sorted((DEPLOY / "tests").glob("*.yml"))


def promtool(*arguments: str, text: str = "") -> str:
    """Run promtool; what it says, once it has ended well."""
    done = subprocess.run([tool("promtool"), *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.prometheus
def test_the_exposed_metrics_follow_the_naming_rules(observed: Observed) -> None:
    with urlopen(f"http://127.0.0.1:{observed.server.metrics_port}/metrics", timeout=5) as answer:
        assert promtool("check", "metrics", text=answer.read().decode()) == ""


@pytest.mark.prometheus
def test_openmetrics_is_spoken_to_who_asks_for_it(observed: Observed) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    with urlopen(
        Request(f"http://127.0.0.1:{observed.server.metrics_port}/metrics", headers=accept), timeout=5
    ) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        families = {family.name: family.type for family in parse(answer.read().decode())}
    assert families["twinserve_model"] == "info"
    assert families["twinserve_requests"] == "counter"
    assert families["twinserve_request_duration_seconds"] == "histogram"


@pytest.mark.prometheus
def test_configuration_and_rules_are_clean() -> None:
    assert "SUCCESS" in promtool("check", "config", str(DEPLOY / "prometheus.yml"))
    promtool("check", "rules", *map(str, sorted((DEPLOY / "rules").glob("*.yml"))))


@pytest.mark.prometheus
@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: str(path.name))
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(path))


def test_every_alert_is_shown_to_fire_and_to_stay_silent() -> None:
    fires: set[str] = set()
    silent: set[str] = set()
    for path in RULE_TESTS:
        for case in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            for check in case.get("alert_rule_test", []):
                (fires if check["exp_alerts"] else silent).add(check["alertname"])
    alerts = {rule["alert"] for rule in promql.rules("alert")}
    assert fires == alerts
    assert silent == alerts


def test_every_alert_says_what_is_wrong_and_links_to_its_place_in_the_runbook() -> None:
    runbook = (DEPLOY.parents[1] / "docs" / "runbook.md").read_text("utf-8")
    headings = {line.removeprefix("## ").lower() for line in runbook.splitlines() if line.startswith("## ")}
    for rule in promql.rules("alert"):
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "docs/runbook.md"
        assert anchor in headings, anchor
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("page", "ticket")
