"""What limits the use of a report: the alerts on top of the page, and every caveat below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_loadtest.record.caveats import invalid_figures
from twinserve_loadtest.record.run import Remark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from twinserve_loadtest.report.inputs import Inputs

#: Caveats that must be read before anything else.
_LABELS = {"subset": "SMALL DATA SET", "quick": "NOT DECISION-GRADE", "disturbed": "DISTURBED"}


def alerts(inputs: Inputs) -> list[Remark]:
    """What must be read before anything else."""
    return _unique([*_incomplete(inputs), *_labelled(inputs), *_mixed(inputs), *_invalid(inputs)])


def caveats(inputs: Inputs) -> list[Remark]:
    """Everything that limits a figure, in the words of the records."""
    found = [remark for record in inputs.measured for remark in (*record.missing, *record.caveats)]
    units = Remark("units", "1 KB is 1,024 bytes and 1 MB is 1,024 KB throughout.")
    return _unique([*_mixed(inputs), *found, units])


def missing_in(inputs: Inputs, section: str) -> list[str]:
    """What the records say is missing from a section."""
    found = (remark.text for record in inputs.measured for remark in record.missing if remark.section == section)
    return list(dict.fromkeys(found))


def _incomplete(inputs: Inputs) -> Iterator[Remark]:
    for source, record in inputs.records:
        if not record.complete:
            what = " ".join(remark.text for remark in record.missing) or "It ended early."
            kind = "RUN" if record.comparison is None else "COMPARISON"
            yield Remark("incomplete", f"INCOMPLETE {kind} ({source.name}): {what}")


def _labelled(inputs: Inputs) -> Iterator[Remark]:
    for code, label in _LABELS.items():
        for source, record in inputs.records:
            for remark in record.caveats:
                if remark.code == code:
                    of = "" if code == "subset" else f" ({source.name})"
                    yield Remark(code, f"{label}{of}: {remark.text}")


def _mixed(inputs: Inputs) -> Iterator[Remark]:
    """Files that are not about the same artefacts, images or machine."""
    hashes: dict[str, set[str]] = {}
    sizes: dict[str, int] = {}
    for variant in inputs.variants():
        hashes.setdefault(variant.name, set()).add(variant.sha256)
        sizes[variant.name] = variant.artefact_bytes
    for _, bench in inputs.benches:
        for row in bench.rows:
            if sizes.get(row.variant, row.bytes) != row.bytes:
                hashes[row.variant] = {"", f"{row.bytes} bytes"}
    differing = sorted(name for name, found in hashes.items() if len(found) > 1)
    if differing:
        yield Remark(
            "mixed-artefacts",
            f"MIXED ARTEFACTS: the files measured different artefacts of {', '.join(differing)}. "
            "Do not compare figures from different files.",
        )
    sets = {(record.dataset.name, record.dataset.images, record.dataset.full) for record in inputs.measured}
    if len(sets) > 1:
        names = "; ".join(f"{name}, {images:,} images" for name, images, _ in sorted(sets))
        yield Remark("mixed-datasets", f"MIXED TEST SETS: the files used different images ({names}).")
    machines = {(record.stamp.cpu_model, record.stamp.isa) for record in inputs.measured}
    if len(machines) > 1:
        names = "; ".join(sorted(f"{cpu} ({isa})" for cpu, isa in machines))
        yield Remark("mixed-machines", f"MIXED MACHINES: the files were measured on different CPUs: {names}.")


def _invalid(inputs: Inputs) -> Iterator[Remark]:
    """One alert for all figures that do not stand, such as those that the load generator decided."""
    names = dict.fromkeys(name for record in inputs.measured for name in invalid_figures(record))
    if names:
        text = f"NOT VALID as figures of the server: {'; '.join(names)}. Each figure says why, as do the caveats below."
        yield Remark("invalid", text)


def _unique(remarks: Iterable[Remark]) -> list[Remark]:
    return list({remark.text: remark for remark in remarks}.values())
