"""The result of ``twinserve compare`` as a whole, and its JSON form ``compare-*.json``.

Its parts are described in :mod:`twinserve_loadtest.record.findings` (orientation of effects, units). A part that
could not be measured is ``None`` or absent and is named in :attr:`Comparison.missing`: nothing is silently
left out.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from twinserve_loadtest.record.findings import (
    AccuracyResult,
    AmdahlBound,
    CrossoverCell,
    Effect,
    Remark,
    Resources,
    ScenarioResult,
    SloResult,
    StageSplit,
    Verdict,
)
from twinserve_loadtest.record.stamp import Stamp

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydantic import TypeAdapter

SCHEMA_VERSION = 1


class ComparisonError(Exception):
    """A comparison file that cannot be read; the message names the file, the field and the rule."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it."""

    created: str
    command: str
    stamp: Stamp
    model: str
    version: str
    baseline: str
    candidate: str
    #: As the manifest describes them: sha256, bytes, quantization, engine, ...
    variants: dict[str, dict[str, Any]]
    #: As the manifest describes it: name, source, test_images, full.
    dataset: dict[str, Any]
    seeds: dict[str, int]
    settings: dict[str, Any]
    scenarios: dict[str, ScenarioResult]
    accuracy: AccuracyResult | None
    resources: dict[str, Resources]
    #: Effects of cost: memory, size, CPU (those of latency lie in the scenarios).
    costs: list[Effect]
    #: By arm, with one request in flight; the other scenarios lie in ``stages_by_scenario``.
    stages: dict[str, StageSplit]
    amdahl: AmdahlBound | None
    slo: SloResult | None
    crossover: list[CrossoverCell]
    caveats: list[Remark]
    missing: list[Remark]
    verdict: Verdict
    #: By scenario and arm, as far as it was told.
    stages_by_scenario: dict[str, dict[str, StageSplit]] = field(default_factory=dict)
    schema_version: Literal[1] = 1

    def effects(self) -> list[Effect]:
        """Every effect, those of the scenarios first."""
        slo = [self.slo.effect] if self.slo is not None and self.slo.effect is not None else []
        return [effect for run in self.scenarios.values() for effect in run.effects] + slo + self.costs

    def is_valid(self, effect: Effect) -> bool:
        """Whether ``effect`` is the server's: its scenario was not spoiled by the generator."""
        run = self.scenarios.get(effect.scenario)
        return run is None or not run.invalid

    def to_json(self) -> str:
        """This comparison as ``compare.json``."""
        return _adapter().dump_json(self, indent=1).decode()

    @classmethod
    def from_json(cls, text: str | bytes, source: str = "comparison") -> Comparison:
        """The inverse of :meth:`to_json`.

        Raises:
            ComparisonError: not JSON, another schema version, or a field that breaks the schema.
        """
        from pydantic import ValidationError  # noqa: PLC0415  (only readers and writers of files pay for it)

        try:
            return _adapter().validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "(top level)"
            raise ComparisonError(
                f"{source}: field {where}: {first['msg']}; "
                f"a file of `twinserve compare`, schema version {SCHEMA_VERSION}, is expected"
            ) from None

    @classmethod
    def read(cls, path: Path) -> Comparison:
        """Read a ``compare-*.json``.

        Raises:
            ComparisonError: the file cannot be read or is not a comparison.
        """
        try:
            return cls.from_json(path.read_bytes(), str(path))
        except OSError as error:
            raise ComparisonError(f"{path}: cannot be read ({error.strerror})") from None


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``compare.json``."""
    return _adapter().json_schema()


def encode_classes(classes: NDArray[np.integer[Any]]) -> str:
    """Class indices (N, below 65,536) as base64 of little-endian uint16."""
    return base64.b64encode(np.asarray(classes).astype("<u2").tobytes()).decode("ascii")


def decode_classes(text: str) -> NDArray[np.int64]:
    """The inverse of :func:`encode_classes`."""
    return np.frombuffer(base64.b64decode(text), "<u2").astype(np.int64)


@cache
def _adapter() -> TypeAdapter[Comparison]:
    from pydantic import TypeAdapter  # noqa: PLC0415  (only readers and writers of files pay for it)

    return TypeAdapter(Comparison)
