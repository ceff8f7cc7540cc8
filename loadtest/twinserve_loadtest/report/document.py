"""What a report says, before anybody decides how it looks: the page, its JSON, the terminal table and the
picture are all drawn from one :class:`Document`.

Times in charts are milliseconds, sizes bytes or as the axis says, shares 0..1. What is unknown is ``None``.
A section whose figures could not be had keeps its place and says so in :attr:`Section.missing`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

from twinserve_loadtest.record.comparison import VerdictOutcome
from twinserve_loadtest.record.measurement import Dataset
from twinserve_loadtest.record.run import Remark
from twinserve_loadtest.record.wire import to_plain
from twinserve_loadtest.report.content import (
    ConfusionMatrix,
    CrossoverMap,
    DataTable,
    EffectChart,
    Gallery,
    IntervalChart,
    LineChart,
    StackedChart,
)

Tone = Literal["good", "bad", "open", "plain"]
Content = LineChart | IntervalChart | EffectChart | StackedChart | ConfusionMatrix | CrossoverMap | Gallery | DataTable


@dataclass(frozen=True, slots=True)
class VariantStyle:
    """A variant and its place in the palette, the same in every picture."""

    name: str
    slot: int
    role: Literal["baseline", "candidate"]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure at first glance."""

    label: str
    value: str
    detail: str
    tone: Tone = "plain"
    interval: str = ""


@dataclass(frozen=True, slots=True)
class GateLine:
    """One gate of a verdict."""

    name: str
    limit: str
    observed: str
    outcome: Literal["pass", "fail", "undecided"]
    reason: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer to "is the candidate worth shipping?": a verdict, or one sentence when nobody set gates."""

    candidate: str
    baseline: str
    outcome: VerdictOutcome | None
    """None: a load test, which describes and does not decide."""
    sentence: str
    reasons: list[str]
    tiles: list[Tile]
    gates: list[GateLine]
    footnote: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Value:
    """A value with its 95 % interval, where there is one."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """How one variant served: one figure a question, each from one run that asked every variant alike."""

    p50_us: float | None = None
    p99_us: float | None = None
    images_per_second: Value = Value(None)
    added_bytes: float | None = None
    test_set_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Loads:
    """Under which load the figures of :class:`Served` were taken, in words; empty: not measured."""

    latency: str = ""
    throughput: str = ""
    latency_short: str = ""
    throughput_short: str = ""


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One row of the table of size, accuracy and time."""

    label: str
    variant: str | None
    """None: a published figure, not measured here."""
    size_bytes: float | None
    accuracy: Value
    images: int | None
    correct: int | None
    in_process_seconds: dict[int, float]
    """Batch size → seconds for the whole test set, without a server."""
    served: Served
    note: str = ""
    quality: Value = Value(None)
    """Of a model without classes, instead of the accuracy: the mean loss."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart or table with its title and what must be known to read it."""

    title: str
    content: Content
    caption: str = ""
    warnings: list[str] = field(default_factory=list)
    """Why the figure must not be used as it stands."""
    source: str = ""
    """Which run it comes from, when the page shows several."""


@dataclass(frozen=True, slots=True)
class Section:
    """One question, the finding in a sentence, and the figures behind it."""

    key: str
    title: str
    lead: str
    """What the section is about."""
    figures: list[Figure]
    missing: list[str] = field(default_factory=list)
    finding: str = ""
    """The finding, for readers who skip the rest."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where one input comes from and how to get it again."""

    file: str
    sha256: str
    kind: str
    created: str
    command: str
    facts: dict[str, str]
    """The machine's stamp: label → text."""


@dataclass(frozen=True, slots=True)
class Document:
    """All of a report."""

    model: str
    version: str
    created: str
    machine: str
    dataset: Dataset
    variants: list[VariantStyle]
    alerts: list[Remark]
    """What must be read before anything else: an incomplete run, a small data set, invalid figures."""
    headlines: list[Headline]
    table: list[VariantRow]
    loads: Loads
    sections: list[Section]
    caveats: list[Remark]
    provenance: list[Provenance]
    metric: str = ""
    """In which a model without classes is measured; empty: by its right answers."""
    schema_version: Literal[1] = 1

    def section(self, key: str) -> Section:
        """The section of that key.

        Raises:
            KeyError: there is none.
        """
        for section in self.sections:
            if section.key == key:
                return section
        raise KeyError(key)

    def to_json(self) -> str:
        """This document as JSON."""
        return json.dumps(to_plain(self), indent=1, ensure_ascii=False)
