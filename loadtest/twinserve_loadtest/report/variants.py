"""Which variants a report is about, their colours, and the table of size, accuracy and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twinserve_loadtest.report.document import Served, Value, VariantRow, VariantStyle
from twinserve_loadtest.report.numbers import percent
from twinserve_loadtest.statistics.paired import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twinserve_loadtest.record.measurement import Variant
    from twinserve_loadtest.record.run import Interval
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
_PUBLISHED_NOTE = "from the original experiment, on its own machine; not measured here"


def variant_names(inputs: Inputs) -> list[str]:
    """Every variant that was measured, the order of the palette first, then the order of the files."""
    names = dict.fromkeys(variant.name for variant in inputs.variants())
    return sorted(names, key=lambda name: (_SLOTS.get(name, len(_SLOTS)), list(names).index(name)))


def styles(inputs: Inputs) -> list[VariantStyle]:
    """Every variant with its colour."""
    manifests = {variant.name: variant.manifest for variant in reversed(list(inputs.variants()))}
    names = variant_names(inputs)
    free = iter([slot for slot in range(PALETTE_SIZE) if slot not in {_SLOTS.get(name) for name in names}])
    return [
        VariantStyle(
            name,
            _SLOTS[name] if name in _SLOTS else next(free, PALETTE_SIZE - 1),
            "baseline" if name == inputs.baseline else "candidate",
            _describe(manifests.get(name, {})),
        )
        for name in names
    ]


def variant_table(inputs: Inputs, served: Mapping[str, Served]) -> list[VariantRow]:
    """The published rows, when the data set is theirs, then one row for each variant."""
    rows = []
    if any(record.dataset.name.lower().startswith("mnist") for record in inputs.measured):
        rows = [
            VariantRow(label, None, kilobytes * 1024, Value(share), None, None, {64: time}, Served(), _PUBLISHED_NOTE)
            for label, kilobytes, share, time in PUBLISHED
        ]
    return rows + [_row(inputs, name, served.get(name, Served())) for name in variant_names(inputs)]


def _row(inputs: Inputs, name: str, served: Served) -> VariantRow:
    variant = next(variant for variant in inputs.variants() if variant.name == name)
    correct, total, share, where = _counts(inputs, variant)
    return VariantRow(
        label=name,
        variant=name,
        size_bytes=variant.artefact_bytes or None,
        accuracy=Value(share.estimate, share.low, share.high) if share else Value(None),
        images=total,
        correct=correct,
        in_process_seconds=_in_process(inputs, name),
        served=served,
        note=where,
        quality=_quality(inputs, name),
    )


def _quality(inputs: Inputs, name: str) -> Value:
    for record in inputs.measured:
        run = record.runs.get("accuracy")
        arm = run.arms.get(name) if run is not None else None
        if arm is not None and (found := arm.quality) is not None:
            return Value(found.loss.estimate, found.loss.low, found.loss.high)
    return Value(None)


def _counts(inputs: Inputs, variant: Variant) -> tuple[int | None, int | None, Interval | None, str]:
    """Correct answers, images, their share, and how they were asked: served before the manifest's own figure."""
    for record in inputs.measured:
        run = record.runs.get("accuracy")
        arm = run.arms.get(variant.name) if run is not None else None
        if arm is not None and (found := arm.answers) is not None:
            whole = "" if found.coverage >= 1 else f", {percent(found.coverage, 1)} of the test set"
            return found.correct, found.images, found.share, f"through the service{whole}"
    offline = variant.manifest.get("accuracy")
    if offline:
        correct, total = int(offline["correct"]), int(offline["total"])
        return correct, total, wilson_interval(correct, total), "offline, when the artefact was built"
    return None, None, None, "" if inputs.measured[0].model.metric else "accuracy was not measured"


def _in_process(inputs: Inputs, name: str) -> dict[int, float]:
    rows = [row for _, bench in inputs.benches if (row := bench.row(name)) is not None]
    return rows[0].medians() if rows else {}


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
