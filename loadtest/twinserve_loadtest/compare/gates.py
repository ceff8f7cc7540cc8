"""Gates: the criteria for shipping a variant, fixed before it is measured.

From a TOML file, from flags, or the defaults below::

    max_accuracy_loss = "0.5pp"     # percentage points; "0.5%" is refused: of what?
    max_quality_loss = "5%"         # of a model without classes; or a loss in its metric's unit
    max_size_ratio = 0.5            # artefact bytes, candidate / baseline
    max_memory_ratio = 0.5          # bytes the model adds to a process
    min_speedup.p99 = 1.2           # open loop at an equal offered rate, baseline / candidate
    min_speedup.single_stream.p50 = 1.3
    min_speedup.throughput = 1.5    # offline images per second, candidate / baseline
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["points", "share", "ratio", "speedup", "quality"]

_SINGLE_STREAM = ("p50", "p90", "p95", "p99")
_SERVER = ("p50", "p95", "p99")


class GatesError(Exception):
    """Gates cannot be used; the message names the key, the value, and what is allowed."""


@dataclass(frozen=True, slots=True)
class GateRule:
    """What a key may hold and what it is compared with."""

    kind: Kind
    #: Scenario and metric of the effect; scenario "" for a cost or the accuracy.
    scenario: str
    metric: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate. ``threshold`` is a share (0.005) for points and shares, a factor for ratios and speed-ups, of quality a
    loss in the metric's unit or, if ``relative``, a share of the baseline's; NaN: the metric's default."""

    name: str
    threshold: float
    rule: GateRule
    relative: bool = False

    @property
    def limit(self) -> str:
        """The limit as a reader would write it: "<= 0.5 pp", ">= 1.2 x"."""
        if self.rule.kind == "points":
            return f"<= {100 * self.threshold:g} pp"
        if self.rule.kind == "quality":
            if math.isnan(self.threshold):
                return "the metric's default"
            return (
                f"<= {100 * self.threshold:g} % of the baseline's loss" if self.relative else f"<= {self.threshold:g}"
            )
        if self.rule.kind == "share":
            return f"<= {100 * self.threshold:g} %"
        return f"{'>=' if self.rule.kind == 'speedup' else '<='} {self.threshold:g} x"


#: For models without classes: how much greater the mean loss may be.
QUALITY = "max_quality_loss"


def _rules() -> dict[str, GateRule]:
    rules = {
        "max_accuracy_loss": GateRule("points", "", "accuracy", "accuracy on the test set"),
        QUALITY: GateRule("quality", "", "quality", "loss on the test set, above the baseline's"),
        "max_error_share": GateRule("share", "", "errors", "share of the candidate's requests that failed"),
        "max_size_ratio": GateRule("ratio", "", "artefact_bytes", "size of the artefact"),
        "max_memory_ratio": GateRule("ratio", "", "added_bytes", "memory added by the model"),
        "max_process_memory_ratio": GateRule("ratio", "", "process_pss_bytes", "memory of the model process"),
        "max_cpu_ratio": GateRule("ratio", "offline", "cpu", "CPU seconds per 1,000 images, offline"),
        "min_speedup.throughput": GateRule("speedup", "offline", "throughput", "offline images per second"),
        "min_speedup.slo_rate": GateRule("speedup", "slo", "slo_rate", "highest rate within the objective"),
    }
    for quantile in _SERVER:
        rule = GateRule("speedup", "open", quantile, f"{quantile} at an equal offered rate")
        rules[f"min_speedup.{quantile}"] = rules[f"min_speedup.server.{quantile}"] = rule
    for quantile in _SINGLE_STREAM:
        rules[f"min_speedup.single_stream.{quantile}"] = GateRule(
            "speedup", "single-stream", quantile, f"{quantile} with one request in flight"
        )
    return rules


RULES: dict[str, GateRule] = _rules()

#: A quantised twin is worth shipping if it is as accurate, half the size, faster in bulk, and no slower for callers;
#: 0.95 allows for what ten minutes cannot distinguish from "no slower".
DEFAULT_GATES: dict[str, object] = {
    "max_accuracy_loss": "0.5pp",
    "max_error_share": "0.1%",
    "max_size_ratio": 0.5,
    "min_speedup": {"throughput": 1.2, "p50": 0.95, "p99": 0.9},
}


def read_gates(path: Path) -> list[Gate]:
    """Read a gates file.

    Raises:
        GatesError: it cannot be read, is not TOML, or holds a key or value that is not allowed.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise GatesError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GatesError(f"{path}: is not TOML ({error})") from None
    return parse_gates(document, str(path))


def default_gates() -> list[Gate]:
    """The gates that apply if the user gives none."""
    return parse_gates(DEFAULT_GATES, "default gates")


def parse_gates(document: Mapping[str, object], source: str) -> list[Gate]:
    """Check keys and units of a gates document (nested as TOML nests dotted keys).

    Raises:
        GatesError: names ``source``, the key, the value and what is allowed.
    """
    gates = [_gate(key, value, source) for key, value in _flatten(document, "", source)]
    if not gates:
        raise GatesError(f"{source}: sets no gate; allowed keys: {', '.join(sorted(RULES))}")
    seen: dict[tuple[str, str], str] = {}
    for gate in gates:
        place = (gate.rule.scenario, gate.rule.metric)
        if place in seen:
            raise GatesError(f"{source}: {gate.name} and {seen[place]} are the same gate; keep one of them")
        seen[place] = gate.name
    return gates


def override(gates: list[Gate], document: Mapping[str, object], source: str) -> list[Gate]:
    """``gates`` with those of ``document`` in place of, or beside, their namesakes.

    Raises:
        GatesError: as :func:`parse_gates`.
    """
    if not document:
        return gates
    newer = parse_gates(document, source)
    taken = {(gate.rule.scenario, gate.rule.metric) for gate in newer}
    return [gate for gate in gates if (gate.rule.scenario, gate.rule.metric) not in taken] + newer


def gates_for(gates: Sequence[Gate], metric: str) -> list[Gate]:
    """The gates that suit the model: on accuracy for a classifier, on quality for one without classes.

    Args:
        gates: as they were asked for, or the built-in ones.
        metric: of a model without classes; empty: a classifier.

    Raises:
        GatesError: a gate was asked for that the model cannot have.
    """
    kinds = {gate.rule.kind: gate for gate in gates}
    if not metric:
        if "quality" in kinds:
            raise GatesError(f"{QUALITY}: the model is a classifier; set max_accuracy_loss instead")
        return list(gates)
    points = kinds.get("points")
    if points is not None and points not in default_gates():
        raise GatesError(f"max_accuracy_loss: the model has no classes; set {QUALITY} instead, in units of {metric}")
    left = [gate for gate in gates if gate.rule.kind != "points"]
    return left if "quality" in kinds or points is None else [Gate(QUALITY, math.nan, RULES[QUALITY]), *left]


def _flatten(document: Mapping[str, object], prefix: str, source: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            if not any(rule.startswith(f"{name}.") for rule in RULES):
                raise GatesError(f"{source}: unknown key {name}{_nearest(name)}")
            found += _flatten(value, f"{name}.", source)
        else:
            found.append((name, value))
    return found


def _gate(name: str, value: Any, source: str) -> Gate:
    rule = RULES.get(name)
    if rule is None:
        raise GatesError(f"{source}: unknown key {name}{_nearest(name)}")
    if rule.kind == "quality":
        return _quality(name, value, rule, source)
    if rule.kind in ("points", "share"):
        return Gate(name, _share(name, value, rule.kind, source), rule)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise GatesError(f"{source}: {name} = {value!r}: a plain number is expected, for example {name} = 1.2")
    if not 0 < value <= 1000:
        raise GatesError(f"{source}: {name} = {value!r}: a factor above 0 and at most 1000 is expected")
    return Gate(name, float(value), rule)


def _share(name: str, value: Any, kind: Kind, source: str) -> float:
    unit, words = ("pp", "percentage points") if kind == "points" else ("%", "per cent")
    example = f'{name} = "0.5{unit}"'
    found = re.fullmatch(rf"([0-9]+(?:\.[0-9]+)?) ?{unit}", value) if isinstance(value, str) else None
    if found is None:
        raise GatesError(
            f"{source}: {name} = {value!r}: a string of a number and the unit {unit} ({words}) is expected, "
            f"for example {example}"
        )
    share = float(found.group(1)) / 100
    if not 0 < share < 1:
        raise GatesError(f"{source}: {name} = {value!r}: must be above 0{unit} and below 100{unit}, as {example}")
    return share


def _quality(name: str, value: Any, rule: GateRule, source: str) -> Gate:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?%", value) if isinstance(value, str) else None
    number = float(found.group(1)) / 100 if found else value
    if isinstance(number, bool | str) or not isinstance(number, int | float) or not 0 < number < math.inf:
        raise GatesError(
            f"{source}: {name} = {value!r}: a loss above 0 is expected, in the unit of the model's metric or as a "
            f'share of the baseline\'s, for example {name} = 0.01 or {name} = "5%"'
        )
    return Gate(name, float(number), rule, relative=found is not None)


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name, RULES, n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{hint} Allowed keys: {', '.join(sorted(RULES))}" if not close else hint
