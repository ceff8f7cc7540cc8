"""Every query of the boards and rules, asked of a real Prometheus that watches a real server under load."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from observability import promql
from twinserve_server.metrics import families

if TYPE_CHECKING:
    from observability.conftest import Observed

#: Labels that Prometheus adds, or that a histogram has.
ADDED_LABELS = {"job", "instance", "le"}

#: These have data only where a variant runs on a GPU.
ON_GPUS = {"twinserve_model_device_bytes", "twinserve_gpu_utilization_ratio", "twinserve_gpu_power_watts"}

everything = [*promql.panel_queries(), *promql.record_queries(), *promql.alert_operands()]
RECORDS = {rule["record"] for rule in promql.rules("record")}


@pytest.mark.prometheus
def test_every_panel_and_every_rule_has_finite_data(observed: Observed) -> None:
    wrong = []
    for query in everything:
        if promql.names(query.expr) <= ON_GPUS:
            continue
        found = observed.prometheus.query(query.expr)
        if not found:
            wrong.append(f"{query}: no data: {query.expr}")
        wrong += [f"{query}: {labels} is {value}: {query.expr}" for labels, value in found if not math.isfinite(value)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.prometheus
def test_prometheus_evaluates_every_rule(observed: Observed) -> None:
    groups = observed.prometheus.api("rules")["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert len(health) == len(promql.rules("record")) + len(promql.rules("alert"))
    assert set(health.values()) == {"ok"}


@pytest.mark.parametrize("query", everything, ids=str)
def test_every_series_named_exists_with_the_labels_it_is_selected_by(query: promql.Query) -> None:
    named = promql.names(query.expr)
    assert named
    for series in named - RECORDS - {"up"}:
        assert promql.family_of(series) in families.BY_NAME, series
    for series, labels in promql.selectors(query.expr):
        family = families.BY_NAME.get(promql.family_of(series))
        if family is not None:
            assert labels <= {*family.labels, *ADDED_LABELS}, series


def test_every_metric_is_on_a_board_or_in_a_rule() -> None:
    used = {promql.family_of(series) for query in everything for series in promql.names(query.expr)}
    assert set(families.BY_NAME) - used == set()
