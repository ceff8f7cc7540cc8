"""The table and the sentence with which a load test ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from twinserve_loadtest.record.load_results import Results, VariantResult

NOT_VALID = "†"


def dataset_line(results: Results) -> str:
    """Which images every figure is of, as it stands under every table."""
    dataset = results.dataset
    part = "the full test set" if dataset.full else "NOT the full test set"
    return f"{dataset.images:,} images of {dataset.name} ({part}; {dataset.source})"


def baseline_of(results: Results) -> str:
    """The variant that others are compared with: the one that is not quantised, else the first."""
    for name, variant in results.model.variants.items():
        if variant.manifest.get("quantization", {}).get("method") == "none":
            return name
    return next(iter(results.model.variants))


def closing_table(results: Results) -> Table:
    """One row a variant; a figure that the generator, not the server, set is marked."""
    caption = [dataset_line(results)]
    names = [scenario.name for scenario in results.scenarios]
    table = Table(title=f"{results.model.name} version {results.model.version}", caption_justify="left")
    table.add_column("variant", style="bold")
    table.add_column("size KB", justify="right")
    columns = [(name, heading) for name in names for heading in _headings(results, name)]
    for _, heading in columns:
        table.add_column(heading, justify="right")
    for variant, info in results.model.variants.items():
        cells = [cell for name in names for cell in _cells(results, name, variant)]
        table.add_row(variant, f"{info.artefact_bytes / 1024:,.0f}", *cells)
        if any(NOT_VALID in cell for cell in cells) and len(caption) == 1:
            caption.append(f"{NOT_VALID} not valid as a figure of the server: see the caveats in the results")
    table.caption = "\n".join(caption)
    return table


def latency_table(results: Results) -> Table:
    """One row a scenario and variant, in microseconds."""
    table = Table(title="Latency by variant, microseconds", caption_justify="left")
    table.caption = (
        f"{dataset_line(results)}\nFrom an HdrHistogram to three significant figures, in the open loop from the "
        "intended send; Locust's own tables round to whole milliseconds."
    )
    for heading in ("scenario", "variant"):
        table.add_column(heading, style="bold")
    for heading in ("requests", "failed", "p50", "p90", "p95", "p99", "max", "images/s", "accuracy %"):
        table.add_column(heading, justify="right")
    for scenario in results.scenarios:
        for variant, result in scenario.variants.items():
            latency = result.latency
            times = (latency.p50_us, latency.p90_us, latency.p95_us, latency.p99_us, latency.max_us)
            mark = NOT_VALID if "latency" in result.generator.invalid else ""
            table.add_row(
                scenario.name,
                variant,
                f"{result.requests:,}",
                f"{sum(result.failures.values()):,}",
                *("-" if time is None else f"{time:,}{mark}" for time in times),
                _throughput_cell(result),
                _accuracy_cell(result),
            )
    return table


def closing_sentence(results: Results, candidate: str | None = None) -> str:
    """How the candidate compares with the baseline, in one sentence.

    Args:
        results: A load test of at least two variants.
        candidate: None: the first variant after the baseline.
    """
    baseline = baseline_of(results)
    others = [name for name in results.model.variants if name != baseline]
    if not others:
        return f"Only {baseline} was tested: there is nothing to compare it with."
    candidate = candidate or others[0]
    parts = [
        _size_part(results, baseline, candidate),
        *_speed_parts(results, baseline, candidate),
        _accuracy_part(results, baseline, candidate),
    ]
    text = f"{candidate} {', '.join(parts[:-1])}, and {parts[-1]}; on {dataset_line(results)}."
    return text if results.complete else f"INCOMPLETE: {text}"


def _headings(results: Results, name: str) -> list[str]:
    scenario = results.scenario(name)
    parameters = scenario.parameters if scenario else {}
    return {
        "accuracy": ["accuracy %"],
        "single-stream": ["1 in flight\np50 ms", "\np99 ms"],
        "open": [f"{parameters.get('rate', 0):g}/s\np50 ms", "\np99 ms"],
        "mixed": ["mixed\np50 ms", "\np99 ms"],
        "closed": [f"{parameters.get('users')} in flight\nimages/s"],
        "offline": [f"batches of {parameters.get('batch')}\nimages/s"],
        "step": [f"requests/s at\np99 ≤ {float(parameters.get('p99_limit_us', 0)) / 1000:g} ms"],
    }[name]


def _cells(results: Results, name: str, variant: str) -> list[str]:
    scenario = results.scenario(name)
    result = scenario.variants.get(variant) if scenario else None
    if name == "step":
        rate = scenario.sustained_rate.get(variant) if scenario else None
        return ["-" if rate is None else f"{rate:,.0f}"]
    if name == "accuracy":
        return [_accuracy_cell(result)]
    if name in ("closed", "offline"):
        return [_throughput_cell(result)]
    return [_latency_cell(result, "p50_us"), _latency_cell(result, "p99_us")]


def _accuracy_cell(result: VariantResult | None) -> str:
    if result is None or result.accuracy is None:
        return "-"
    accuracy = result.accuracy
    text = f"{accuracy.correct / accuracy.total:.2%}".rstrip("%")
    return text if accuracy.coverage == 1 else f"{text} of {accuracy.coverage:.1%}"


def _throughput_cell(result: VariantResult | None) -> str:
    if result is None or not result.images:
        return "-"
    mark = NOT_VALID if "throughput" in result.generator.invalid else ""
    return f"{result.images_per_second:,.0f}{mark}"


def _latency_cell(result: VariantResult | None, field: str) -> str:
    value = getattr(result.latency, field) if result else None
    if result is None or value is None:
        return "-"
    mark = NOT_VALID if "latency" in result.generator.invalid else ""
    return f"{value / 1000:.2f}{mark}"


def _size_part(results: Results, baseline: str, candidate: str) -> str:
    old, new = (results.model.variants[name].artefact_bytes for name in (baseline, candidate))
    sizes = f"{new / 1024:,.0f} against {old / 1024:,.0f} KB"
    if new < old:
        return f"is {old / new:.2f} times smaller than {baseline} ({sizes})"
    return f"is not smaller than {baseline} ({sizes})"


def _speed_parts(results: Results, baseline: str, candidate: str) -> list[str]:
    parts = []
    single = _pair(results, "single-stream", "latency", baseline, candidate)
    if single is not None:
        for field, name in (("p50_us", "p50"), ("p99_us", "p99")):
            old, new = (getattr(result.latency, field) for result in single)
            if old is not None and new is not None:
                figures = f"{new / 1000:.2f} against {old / 1000:.2f} ms"
                parts.append(f"{old / new:.2f} times as fast at {name} ({figures})")
    parts = [f"answers {' and '.join(parts)}"] if parts else []
    offline = _pair(results, "offline", "throughput", baseline, candidate)
    if offline is not None:
        old, new = (result.images_per_second for result in offline)
        parts.append(f"has {new / old:.2f} times its throughput in batches ({new:,.0f} against {old:,.0f} images/s)")
    return parts or ["is of unknown speed (no valid figure: see the caveats)"]


def _pair(
    results: Results, name: str, figure: str, baseline: str, candidate: str
) -> tuple[VariantResult, VariantResult] | None:
    """The results of both variants, unless one is missing, empty or not valid for ``figure``."""
    scenario = results.scenario(name)
    if scenario is None:
        return None
    pair = [scenario.variants.get(variant) for variant in (baseline, candidate)]
    first, second = pair
    if first is None or second is None or not first.images or not second.images:
        return None
    if figure in first.generator.invalid or figure in second.generator.invalid:
        return None
    return first, second


def _accuracy_part(results: Results, baseline: str, candidate: str) -> str:
    pair = _pair(results, "accuracy", "accuracy", baseline, candidate)
    if pair is None or pair[0].accuracy is None or pair[1].accuracy is None:
        return "is of unknown accuracy"
    if pair[0].accuracy.coverage < 1 or pair[1].accuracy.coverage < 1:
        # Each variant may have answered other images: their shares do not compare.
        return "is of unknown accuracy (not every image was answered)"
    old, new = (result.accuracy.correct / result.accuracy.total for result in pair if result.accuracy)
    points = (new - old) * 100
    both = f"{new:.2%} against {old:.2%}"
    if points == 0:
        return f"is exactly as accurate ({both})"
    return f"is {abs(points):.2f} points {'more' if points > 0 else 'less'} accurate ({both})"
