"""The files that a report is made of, told apart by what is in them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twinserve_loadtest.record.comparison import Comparison, ComparisonError
from twinserve_loadtest.record.results_file import ResultsError, load_results
from twinserve_loadtest.report.bench import Bench, BenchError, parse_bench
from twinserve_loadtest.report.document import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from twinserve_loadtest.record.load_results import Results


class ReportError(Exception):
    """A report that cannot be made; the text names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """The file that an input was read from."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that was given; at least one load test or comparison."""

    load_tests: list[tuple[Source, Results]] = field(default_factory=list)
    comparisons: list[tuple[Source, Comparison]] = field(default_factory=list)
    benches: list[tuple[Source, Bench]] = field(default_factory=list)

    @property
    def results(self) -> list[Results]:
        """The load tests."""
        return [results for _, results in self.load_tests]

    @property
    def compared(self) -> list[Comparison]:
        """The comparisons."""
        return [comparison for _, comparison in self.comparisons]

    @property
    def several(self) -> bool:
        """Whether a figure must say which run it is from."""
        return len(self.load_tests) + len(self.comparisons) > 1

    def models(self) -> Iterator[tuple[str, str]]:
        """(name, version) of the model of every input, comparisons first."""
        yield from ((comparison.model, comparison.version) for comparison in self.compared)
        yield from ((results.model.name, results.model.version) for results in self.results)
        yield from ((bench.model, bench.version) for _, bench in self.benches)

    def datasets(self) -> Iterator[Dataset]:
        """The test set of every input, comparisons first."""
        for comparison in self.compared:
            about = comparison.dataset
            images = comparison.accuracy.images if comparison.accuracy else int(about.get("test_images", 0))
            yield Dataset(
                str(about.get("name", "unnamed data set")),
                str(about.get("source", "unknown")),
                images,
                bool(about.get("full", False)) and images >= int(about.get("test_images", 0)),
            )
        for results in self.results:
            yield Dataset(results.dataset.name, results.dataset.source, results.dataset.images, results.dataset.full)

    def artefacts(self) -> Iterator[tuple[str, str]]:
        """(variant, SHA-256) of every artefact of every input."""
        for comparison in self.compared:
            yield from ((name, str(about.get("sha256", ""))) for name, about in comparison.variants.items())
        for results in self.results:
            yield from ((name, about.sha256) for name, about in results.model.variants.items())

    def manifests(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(variant, what its manifest says) of every input, comparisons first."""
        for comparison in self.compared:
            yield from comparison.variants.items()
        for results in self.results:
            for name, about in results.model.variants.items():
                yield name, {"bytes": about.artefact_bytes, "sha256": about.sha256, **about.manifest}


def read_inputs(paths: Sequence[Path]) -> Inputs:
    """Read the files of load tests, comparisons and benches, in any order.

    Raises:
        ReportError: no file, a file that is none of these, or inputs about different models.
    """
    inputs = Inputs()
    for path in paths:
        _read(path, inputs)
    if not inputs.load_tests and not inputs.comparisons:
        raise ReportError(
            "nothing to report on: give at least one results file of `twinserve loadtest` or `twinserve compare`"
        )
    models = set(inputs.models())
    if len(models) > 1:
        names = ", ".join(sorted(f"{name} version {version}" for name, version in models))
        raise ReportError(f"the files are about different models ({names}): make one report of each")
    return inputs


def _read(path: Path, inputs: Inputs) -> None:
    try:
        content = path.read_bytes()
        document = json.loads(content)
    except OSError as error:
        raise ReportError(
            f"{path}: cannot be read ({error.strerror}); write one with `twinserve loadtest` or `twinserve compare`"
        ) from None
    except ValueError as error:
        raise ReportError(f"{path}: is not JSON ({error})") from None
    source = Source(path.name, hashlib.sha256(content).hexdigest())
    keys = document.keys() if isinstance(document, dict) else set()
    try:
        if "verdict" in keys and "scenarios" in keys:
            inputs.comparisons.append((source, Comparison.from_json(content, str(path))))
        elif "scenarios" in keys:
            inputs.load_tests.append((source, load_results(path)))
        elif "bench" in keys:
            inputs.benches.append((source, parse_bench(document["bench"], str(path))))
        else:
            raise ReportError(
                f"{path}: holds neither a load test nor a comparison nor a bench; "
                "expected is what `twinserve loadtest`, `twinserve compare` or `twinserve models bench` writes"
            )
    except (BenchError, ComparisonError, ResultsError) as error:
        raise ReportError(str(error)) from None
