"""Gates are read strictly: what is not understood is refused, with what is allowed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from twinserve_loadtest.compare.gates import (
    QUALITY,
    Gate,
    GatesError,
    default_gates,
    gates_for,
    override,
    parse_gates,
    read_gates,
)


def parsed(text: str) -> dict[str, Gate]:
    return {gate.name: gate for gate in parse_gates(tomllib.loads(text), "gates.toml")}


def test_every_kind_of_gate_is_read() -> None:
    gates = parsed("""
        max_accuracy_loss = "0.5pp"
        max_error_share = "0.1 %"
        max_memory_ratio = 0.5
        min_speedup.p99 = 1.2
        min_speedup.throughput = 2
        [min_speedup.single_stream]
        p50 = 1.3
    """)
    assert gates["max_accuracy_loss"].threshold == pytest.approx(0.005)
    assert gates["max_error_share"].threshold == pytest.approx(0.001)
    assert gates["max_memory_ratio"].threshold == 0.5
    p99 = gates["min_speedup.p99"]
    assert (p99.threshold, p99.rule.scenario, p99.rule.metric) == (1.2, "open", "p99")
    assert gates["min_speedup.throughput"].rule.scenario == "offline"
    assert gates["min_speedup.single_stream.p50"].rule.scenario == "single-stream"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_acuracy_loss = '1pp'", ["max_acuracy_loss", "did you mean max_accuracy_loss"]),
        ("speed = 2", ["unknown key speed", "max_accuracy_loss", "min_speedup.p99"]),
        ("min_speedup.p42 = 1.2", ["min_speedup.p42"]),
        ("min_speeedup.p99 = 1.2", ["unknown key min_speeedup"]),
        ("max_accuracy_loss = '0.5%'", ["max_accuracy_loss", "'0.5%'", "percentage points", '"0.5pp"']),
        ("max_accuracy_loss = 0.5", ["max_accuracy_loss", "0.5", "pp"]),
        ("max_accuracy_loss = '-1pp'", ["max_accuracy_loss", "'-1pp'"]),
        ("max_accuracy_loss = '0pp'", ["above 0pp"]),
        ("max_accuracy_loss = '100pp'", ["below 100pp"]),
        ("max_error_share = '1pp'", ["max_error_share", "%"]),
        ("min_speedup.p99 = '1.2x'", ["min_speedup.p99", "'1.2x'", "plain number"]),
        ("min_speedup.p99 = true", ["min_speedup.p99", "True"]),
        ("min_speedup.p99 = nan", ["min_speedup.p99", "nan"]),
        ("max_size_ratio = 0.0", ["max_size_ratio", "above 0"]),
        ("max_size_ratio = -2", ["max_size_ratio", "-2"]),
        ("min_speedup = 1.2", ["min_speedup"]),
        ("min_speedup.p99 = 1.2\nmin_speedup.server.p99 = 1.3", ["same gate"]),
        ("", ["sets no gate"]),
    ],
)
def test_what_is_not_allowed_is_named(text: str, words: list[str]) -> None:
    with pytest.raises(GatesError) as raised:
        parsed(text)
    message = str(raised.value)
    assert message.startswith("gates.toml: ")
    for word in words:
        assert word in message


def test_a_file_is_read_and_its_troubles_are_told(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    with pytest.raises(GatesError, match="cannot be read"):
        read_gates(path)
    path.write_text("min_speedup.p99 = ", "utf-8")
    with pytest.raises(GatesError, match="is not TOML"):
        read_gates(path)
    path.write_text("min_speedup.p99 = 1.2", "utf-8")
    assert [gate.name for gate in read_gates(path)] == ["min_speedup.p99"]


def test_flags_replace_their_namesakes_and_leave_the_others() -> None:
    gates = {
        g.name: g for g in override(default_gates(), {"max_accuracy_loss": "0.2pp", "max_cpu_ratio": 0.8}, "flags")
    }
    assert gates["max_accuracy_loss"].threshold == pytest.approx(0.002)
    assert gates["max_cpu_ratio"].threshold == 0.8
    assert gates["max_size_ratio"].threshold == 0.5
    assert len(gates) == len(default_gates()) + 1


def test_a_flag_under_another_name_of_the_same_gate_replaces_it_too() -> None:
    gates = override(default_gates(), {"min_speedup": {"server": {"p99": 1.5}}}, "flags")
    assert [gate.threshold for gate in gates if gate.rule.metric == "p99"] == [1.5]


@pytest.mark.parametrize(
    ("name", "limit"),
    [("max_accuracy_loss", "<= 0.5 pp"), ("max_size_ratio", "<= 0.5 x"), ("min_speedup.p50", ">= 0.95 x")],
)
def test_a_limit_reads_as_one_would_write_it(name: str, limit: str) -> None:
    assert next(gate.limit for gate in default_gates() if gate.name == name) == limit


def test_a_model_without_classes_is_gated_on_quality_by_its_metrics_default() -> None:
    gates = gates_for(default_gates(), "mse")
    assert gates[0].name == QUALITY
    assert gates[0].limit == "the metric's default"
    assert "max_accuracy_loss" not in {gate.name for gate in gates}
    assert gates_for(default_gates(), "") == default_gates()


@pytest.mark.parametrize(("value", "limit"), [(0.01, "<= 0.01"), ("5%", "<= 5 % of the baseline's loss")])
def test_a_loss_of_quality_is_a_number_or_a_share_of_the_baselines(value: object, limit: str) -> None:
    (gate,) = parse_gates({QUALITY: value}, "gates.toml")
    assert gate.limit == limit
    assert gates_for([gate], "cosine") == [gate]


def test_gates_that_the_model_cannot_have_are_refused() -> None:
    with pytest.raises(GatesError, match="is a classifier; set max_accuracy_loss"):
        gates_for(parse_gates({QUALITY: 0.01}, "x"), "")
    with pytest.raises(GatesError, match="has no classes; set max_quality_loss"):
        gates_for(parse_gates({"max_accuracy_loss": "0.1pp"}, "x"), "mse")
    for wrong in (True, "5pp", 0, -1, float("inf")):
        with pytest.raises(GatesError, match="max_quality_loss = "):
            parse_gates({QUALITY: wrong}, "x")
