"""The vocabulary of a measurement: scenarios, roles, phases, and their sections in the report."""

from __future__ import annotations

from typing import Literal

Scenario = Literal["accuracy", "single-stream", "open", "offline", "closed", "mixed", "step"]
Section = Literal["", "effects", "latency", "rate", "throughput", "accuracy", "costs", "why", "crossover"]
Figure = Literal["latency", "throughput"]
Role = Literal["baseline", "candidate"]
Phase = Literal["warm_up", "pilot", "control", "main", "slo", "crossover", "accuracy"]
Claim = Literal["better", "worse", "none", "unknown"]

ROLES: tuple[Role, Role] = ("baseline", "candidate")
TITLES: dict[str, str] = {
    "accuracy": "Test set",
    "single-stream": "Single stream",
    "open": "Open loop",
    "offline": "Offline",
    "closed": "Closed loop",
    "mixed": "Mixed traffic",
    "step": "Step test",
}
#: The section of the report that covers a scenario.
SECTIONS: dict[str, Section] = {
    "accuracy": "accuracy",
    "single-stream": "latency",
    "open": "latency",
    "mixed": "latency",
    "offline": "throughput",
    "closed": "throughput",
    "step": "rate",
}
#: Scenarios with the same load for every arm, so that latencies are comparable; one request in flight comes first.
EQUAL_LOAD: tuple[Scenario, Scenario] = ("single-stream", "open")
