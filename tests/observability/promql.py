"""The PromQL of the committed boards and rules, and what it names."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"

#: What Grafana puts in, long enough for the traffic of the test to lie within.
MACROS = {"$__rate_interval": "5m", "$__range": "5m", "$__interval": "1s"}
_VARIABLE = re.compile(r"\$\w+")
_SUFFIX = re.compile(r"_(total|info|bucket|count|sum)$")
#: Splits where a comparison or a set operator stands.
_OPERATOR = re.compile(r"\s(?:>|<|>=|<=|==|!=)\s|\s(?:and|or|unless)(?:\s+on\s*\([^)]*\))?\s")


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and where it stands."""

    place: str
    expr: str

    def __str__(self) -> str:
        return self.place


def boards() -> dict[str, dict[str, Any]]:
    """The committed boards by file name."""
    return {
        path.name: json.loads(path.read_text("utf-8")) for path in sorted((DEPLOY / "grafana/dashboards").glob("*"))
    }


def panel_queries() -> list[Query]:
    """Every query of every panel, with Grafana's macros and variables filled in."""
    return [
        Query(f"{name}: {panel['title']} {target['refId']}", _filled(target["expr"]))
        for name, board in boards().items()
        for panel in board["panels"]
        for target in panel.get("targets", [])
    ]


def rules(kind: str) -> list[dict[str, Any]]:
    """Every rule of ``kind`` (record or alert)."""
    return [
        rule
        for path in sorted((DEPLOY / "prometheus/rules").glob("*.yml"))
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if kind in rule
    ]


def record_queries() -> list[Query]:
    """Every recording rule: its expression, and its record."""
    found = [Query(rule["record"], rule["expr"]) for rule in rules("record")]
    return found + [Query(f"recorded {rule['record']}", rule["record"]) for rule in rules("record")]


def alert_operands() -> list[Query]:
    """What the alerts compare: their expressions take no value while all is well, but these do."""
    return [
        Query(f"{rule['alert']} {number}", operand)
        for rule in rules("alert")
        for number, operand in enumerate(operands(rule["expr"]))
    ]


def operands(expr: str) -> list[str]:
    """The sides of every comparison and set operation in an alert, but for plain numbers."""
    sides = [_balanced(side.strip()) for side in _OPERATOR.split(" ".join(expr.split()))]
    return [side for side in sides if re.search("[a-z]", side)]


def names(expr: str) -> set[str]:
    """The series that an expression names."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    bare = re.sub(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    words = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\w*\s*\()", bare)
    return {word for word in words if "twinserve_" in word or "grpc_server_" in word or word == "up"}


def family_of(series: str) -> str:
    """``twinserve_requests`` of ``twinserve_requests_total``."""
    return _SUFFIX.sub("", series)


def selectors(expr: str) -> list[tuple[str, set[str]]]:
    """(series, labels it is selected by) for each selector of ``expr`` that has any."""
    return [
        (name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", body)))
        for name, body in re.findall(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}", expr)
    ]


def _filled(expr: str) -> str:
    for macro, value in MACROS.items():
        expr = expr.replace(macro, value)
    return _VARIABLE.sub(".*", expr)


def _balanced(text: str) -> str:
    """``text`` without the parentheses that a split tore apart."""
    while text.count("(") > text.count(")") and text.startswith("("):
        text = text[1:].strip()
    while text.count(")") > text.count("(") and text.endswith(")"):
        text = text[:-1].strip()
    return text
