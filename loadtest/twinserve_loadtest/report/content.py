"""The kinds of content that a figure of a report can have: charts as numbers, tables as text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from twinserve_loadtest.record.terms import Claim

Scale = Literal["linear", "log", "percentile"]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis. ``percentile`` stretches the tail: equal steps from 90 to 99 to 99.9 %."""

    label: str
    scale: Scale = "linear"


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a line, with the ends of its band."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    marker: Literal["none", "filled", "hollow"] = "none"
    title: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart."""

    variant: str
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Limit:
    """A horizontal line: what must not be exceeded."""

    y: float
    label: str


@dataclass(frozen=True, slots=True)
class LineChart:
    """Lines with bands; ``band`` says whether ``low`` and ``high`` lie along x or y."""

    x: Axis
    y: Axis
    series: list[Series]
    band: Literal["x", "y"]
    summary: str
    """What the chart shows, in words, for readers who cannot see it."""
    limit: Limit | None = None
    kind: Literal["lines"] = "lines"


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """One value with its interval; ``text`` is how it is written."""

    label: str
    variant: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    struck: bool = False
    """The figure is not valid and is shown struck through."""


@dataclass(frozen=True, slots=True)
class IntervalChart:
    """Values side by side: bars from zero, or dots where zero is far away."""

    axis: Axis
    rows: list[IntervalRow]
    style: Literal["bar", "dot"]
    summary: str
    kind: Literal["intervals"] = "intervals"


@dataclass(frozen=True, slots=True)
class EffectRow:
    """The ratio of two arms. ``claim`` as in :class:`twinserve_loadtest.record.run.Effect`."""

    label: str
    scenario: str
    change: str
    """From the baseline's figure to the candidate's."""
    estimate: float | None
    low: float | None
    high: float | None
    noise_floor: float | None
    claim: Claim
    text: str
    note: str = ""
    invalid: bool = False
    """The figure is not the server's."""


@dataclass(frozen=True, slots=True)
class EffectChart:
    """Ratios on a logarithmic axis around 1."""

    axis: Axis
    rows: list[EffectRow]
    better: Literal["higher", "lower"]
    baseline: str
    candidate: str
    summary: str
    kind: Literal["effects"] = "effects"


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a stacked bar."""

    name: str
    value: float
    share: float
    emphasis: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """One stacked bar."""

    variant: str
    total: float
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class StackedChart:
    """Stacked bars on one scale, and the same as a table."""

    axis: Axis
    stacks: list[Stack]
    summary: str
    kind: Literal["stacked"] = "stacked"


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """counts[true class][answered class]."""

    variant: str
    class_names: list[str]
    counts: list[list[int]]
    summary: str
    kind: Literal["confusion"] = "confusion"


@dataclass(frozen=True, slots=True)
class CrossoverRow:
    """One line of the map: a thread count and how requests come."""

    label: str
    cells: list[EffectRow | None]


@dataclass(frozen=True, slots=True)
class CrossoverMap:
    """The candidate's speed-up over batch size (columns) x threads and rate (rows)."""

    columns: list[str]
    rows: list[CrossoverRow]
    baseline: str
    candidate: str
    summary: str
    kind: Literal["crossover"] = "crossover"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one variant answered for an image."""

    variant: str
    text: str
    probability: float | None
    right: bool


@dataclass(frozen=True, slots=True)
class GalleryImage:
    """One image that the variants answer differently."""

    index: int
    label: str
    picture: str
    """A PNG as data URI; empty when the items are not pictures."""
    answers: list[Answer]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Images that the variants answer differently: the first few of ``count``."""

    images: list[GalleryImage]
    count: int
    summary: str
    kind: Literal["gallery"] = "gallery"


@dataclass(frozen=True, slots=True)
class DataTable:
    """Columns of text; numbers are aligned right except in the first column."""

    columns: list[str]
    rows: list[list[str]]
    variants: list[str | None] = field(default_factory=list)
    """The variant of each row, when it has one."""
    wrap: bool = False
    """Cells hold sentences rather than numbers."""
    kind: Literal["table"] = "table"
