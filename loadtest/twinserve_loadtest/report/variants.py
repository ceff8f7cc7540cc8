"""Which variants a report is about, their colours, and the table of size, accuracy and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twinserve_loadtest.loadtest import closing
from twinserve_loadtest.report.document import Estimate, Served, VariantRow, VariantStyle
from twinserve_loadtest.report.numbers import percent
from twinserve_loadtest.report.served import served_by_variant
from twinserve_loadtest.statistics.paired import wilson_interval

if TYPE_CHECKING:
    from twinserve_loadtest.report.inputs import Inputs

#: These keep their colour even when another of them is absent.
_SLOTS = {"fp32": 0, "int8": 1, "int8-dynamic": 2}
PALETTE_SIZE = 6

#: The published figures that started the project: size in KB, accuracy, seconds for the 10,000 test
#: images in batches of 64.
PUBLISHED = (
    ("published FP32", 4690.61, 0.9897, 5.04),
    ("published INT8 dynamic", 1232.20, 0.9898, 5.00),
)
_PUBLISHED_NOTE = "the original experiment on its own machine; not measured here"


def baseline_of(inputs: Inputs) -> str:
    """The variant that the others are held against: as compared, else the one that is not quantised."""
    if inputs.compared:
        return inputs.compared[0].baseline
    return closing.baseline_of(inputs.results[0])


def variant_names(inputs: Inputs) -> list[str]:
    """Every variant that was measured, the order of the palette first, then the order of the files."""
    names: dict[str, None] = {}
    for comparison in inputs.compared:
        names |= dict.fromkeys((comparison.baseline, comparison.candidate))
    for results in inputs.results:
        names |= dict.fromkeys(results.model.variants)
    return sorted(names, key=lambda name: (_SLOTS.get(name, len(_SLOTS)), list(names).index(name)))


def styles(inputs: Inputs) -> list[VariantStyle]:
    """Every variant with its colour."""
    baseline = baseline_of(inputs)
    manifests = dict(inputs.manifests())
    names = variant_names(inputs)
    free = iter([slot for slot in range(PALETTE_SIZE) if slot not in {_SLOTS.get(name) for name in names}])
    return [
        VariantStyle(
            name,
            _SLOTS[name] if name in _SLOTS else next(free, PALETTE_SIZE - 1),
            "baseline" if name == baseline else "candidate",
            _describe(manifests.get(name, {})),
        )
        for name in names
    ]


def variant_table(inputs: Inputs) -> list[VariantRow]:
    """The published rows, when the data set is theirs, then one row for each variant."""
    rows = []
    if any(dataset.name.lower().startswith("mnist") for dataset in inputs.datasets()):
        rows = [
            VariantRow(
                label, None, kilobytes * 1024, Estimate(share), None, None, {64: time}, Served(), _PUBLISHED_NOTE
            )
            for label, kilobytes, share, time in PUBLISHED
        ]
    served = served_by_variant(inputs)
    return rows + [_row(inputs, name, served.get(name, Served())) for name in variant_names(inputs)]


def _row(inputs: Inputs, name: str, served: Served) -> VariantRow:
    manifest = dict(inputs.manifests()).get(name, {})
    correct, total, where = _counts(inputs, name, manifest)
    accuracy = Estimate(None)
    if correct is not None and total:
        interval = wilson_interval(correct, total)
        accuracy = Estimate(interval.estimate, interval.low, interval.high)
    return VariantRow(
        label=name,
        variant=name,
        size_bytes=manifest.get("bytes") or _measured_size(inputs, name),
        accuracy=accuracy,
        images=total,
        correct=correct,
        in_process_seconds=_in_process(inputs, name),
        served=served,
        note=where,
    )


def _counts(inputs: Inputs, name: str, manifest: dict[str, Any]) -> tuple[int | None, int | None, str]:
    """Right answers, images, and how they were asked: the served path before the manifest's own figure."""
    for comparison in inputs.compared:
        found = comparison.accuracy
        if found and name in found.accuracy:
            return round(found.accuracy[name].estimate * found.images), found.images, "through the service"
    for results in inputs.results:
        scenario = results.scenario("accuracy")
        result = scenario.variants.get(name) if scenario else None
        if result and result.accuracy:
            whole = "" if result.accuracy.coverage >= 1 else f", {percent(result.accuracy.coverage, 1)} of the test set"
            return result.accuracy.correct, result.accuracy.total, f"through the service{whole}"
    offline = manifest.get("accuracy")
    if offline:
        return int(offline["correct"]), int(offline["total"]), "offline, when the artefact was made"
    return None, None, "accuracy was not measured"


def _in_process(inputs: Inputs, name: str) -> dict[int, float]:
    rows = [row for _, bench in inputs.benches if (row := bench.row(name)) is not None]
    return rows[0].medians() if rows else {}


def _measured_size(inputs: Inputs, name: str) -> int | None:
    """Of a variant without a manifest entry: one that is compared with itself stands there a second time."""
    found = (comparison.resources.get(name) for comparison in inputs.compared)
    return next((resources.artefact_bytes for resources in found if resources is not None), None)


def _describe(manifest: dict[str, Any]) -> str:
    """For example "static INT8, engine x86, calibrated on 1,024 images"."""
    recipe = manifest.get("quantization", {})
    method = recipe.get("method")
    if method is None:
        return str(manifest.get("description", ""))
    if method == "none":
        return "not quantised"
    parts = [f"{method} {recipe.get('dtype', 'INT8')}"]
    engine = manifest.get("engine")
    if engine and engine != "none":
        parts.append(f"engine {engine}")
    if recipe.get("calibration_images"):
        parts.append(f"calibrated on {recipe['calibration_images']:,} training images")
    return ", ".join(parts)
