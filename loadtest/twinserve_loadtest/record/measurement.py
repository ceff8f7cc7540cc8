"""The record of a measurement: what ``twinserve loadtest`` and ``twinserve compare`` write, ``twinserve report`` reads.

A load test and a comparison are the same record; a comparison adds :attr:`Record.comparison` and the effects in its
runs. What could not be measured is ``None`` or absent and named in :attr:`Record.missing`; what limits the use of a
figure is in :attr:`Record.caveats`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from twinserve_loadtest.record.comparison import Comparison
from twinserve_loadtest.record.run import Effect, RateSearch, Remark, Run
from twinserve_loadtest.record.stamp import Stamp
from twinserve_loadtest.record.terms import Scenario

SCHEMA_VERSION = 2
AT = "@"
"""Between a variant and its version, where one is named: ``int8@2``."""
NOT_ANSWERED = 65535
"""Stands in ``predictions`` for an image that the variant did not answer."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """The test set whose images were sent."""

    name: str
    source: str
    images: int
    #: False: a subset; figures are not comparable with the full set's.
    full: bool

    @property
    def line(self) -> str:
        """What stands under every table and picture."""
        part = "" if self.full else "SMALL DATA SET, not the full test set: "
        return f"{part}{self.name}, {self.images:,} test images"


@dataclass(frozen=True, slots=True)
class Memory:
    """A variant's memory in bytes, as measured by the server."""

    #: PSS over the same process without a model, cumulative: load, first_inference, batch_limit.
    added_by_stage: dict[str, float] = field(default_factory=dict)
    #: PSS and RSS of the variant's model processes after the measurement, summed over replicas.
    resident_pss: float | None = None
    resident_rss: float | None = None
    parameter_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant as the server describes it."""

    name: str
    sha256: str
    artefact_bytes: int
    max_batch_size: int | None = None
    #: The router's share, 0..1.
    weight: float | None = None
    #: None: no metrics URL was given, or it did not answer.
    memory: Memory | None = None
    #: The variant's entry of the manifest: quantization, engine, offline accuracy, ...
    manifest: dict[str, Any] = field(default_factory=dict)
    #: Of the model; empty in files of before versions were told apart: the model's.
    version: str = ""

    @property
    def served_as(self) -> str:
        """Its name in its version's manifest and in the server's metrics: ``int8`` of ``int8@2``."""
        return self.name.partition(AT)[0]


@dataclass(frozen=True, slots=True)
class Model:
    """The model that was measured."""

    name: str
    #: Several, separated by commas, if variants of several versions are measured.
    version: str
    item_shape: list[int]
    labels: list[str]
    #: By arm.
    variants: dict[str, Variant]
    #: The whole manifest, as stored next to the artefacts.
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """How an answer is held against its target, of a model without classes; empty: a classifier."""
        output = self.manifest.get("output", {})
        return str(output.get("metric", "")) if output.get("kind") == "tensors" else ""

    def tensors(self, side: Literal["inputs", "outputs"]) -> dict[str, tuple[str, list[int]]]:
        """Datatype and shape of an item of each named tensor; a model with an item shape has none."""
        if self.item_shape:
            return {}
        return {
            entry["name"]: (entry.get("datatype") or entry["datatypes"][0], entry["shape"])
            for entry in self.manifest.get(side, [])
        }


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement."""

    #: ISO 8601, UTC.
    created: str
    #: The exact command that repeats it.
    command: str
    stamp: Stamp
    model: Model
    dataset: Dataset
    runs: dict[Scenario, Run]
    #: Empty: a server of its own.
    target: str = ""
    #: The address of each, names resolved; empty: a server of its own, or a file of before there could be several.
    servers: list[str] = field(default_factory=list)
    #: Of one server: how many gateways ("gateway") and model processes by variant; empty: it does not tell.
    processes: dict[str, int] = field(default_factory=dict)
    rates: RateSearch | None = None
    comparison: Comparison | None = None
    #: The requested settings, including the seed.
    settings: dict[str, Any] = field(default_factory=dict)
    #: Whether generator and server shared a machine.
    same_machine: bool = True
    #: Busy share of all cores (0..1) just before or after the load; None: not known.
    foreign_cpu_share: float | None = None
    #: False: it ended early, or requests were lost.
    complete: bool = True
    missing: list[Remark] = field(default_factory=list)
    caveats: list[Remark] = field(default_factory=list)
    schema_version: Literal[2] = 2

    @property
    def baseline(self) -> str:
        """The variant that others are held against: as compared, else the first that is not quantised."""
        if self.comparison is not None:
            return self.comparison.baseline
        for name, variant in self.model.variants.items():
            if variant.manifest.get("quantization", {}).get("method") == "none":
                return name
        return next(iter(self.model.variants))

    def effects(self) -> list[Effect]:
        """Every effect: those of the runs, of the rate within the objective, of cost."""
        rates = [self.rates.effect] if self.rates is not None and self.rates.effect is not None else []
        costs = self.comparison.costs if self.comparison is not None else []
        return [effect for run in self.runs.values() for effect in run.effects] + rates + costs

    def is_valid(self, effect: Effect) -> bool:
        """Whether ``effect`` is the server's: its run was not spoiled by the generator."""
        return not any(run.invalid for run in self.runs.values() if run.scenario == effect.scenario)

    def interrupted(self) -> bool:
        """Whether the user ended it."""
        return any(remark.code == "interrupted" for remark in self.missing)
