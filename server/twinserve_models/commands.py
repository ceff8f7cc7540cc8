"""What the sub-commands of ``twinserve models`` do that run models; each returns its exit code."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from twinserve_host.files import FileError, check_writable, write_file
from twinserve_models.bench import PUBLISHED_ROWS, Bench, bench_models, read_testset, steps
from twinserve_models.budget import TRAINING_SECONDS
from twinserve_models.build import MODEL, build_models
from twinserve_models.listing import dataset_line, find
from twinserve_models.mnist_files import DataError
from twinserve_models.plots import draw_plots
from twinserve_models.terminal import console, errors, fail
from twinserve_server.artefact.files import read_artefact
from twinserve_server.errors import ArtefactError

#: Valid model names, which are also folder names.
NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")


def build(
    models: Path,
    data: Path | None,
    seed: int,
    force: bool,
    *,
    full: bool,
    model: str = MODEL,
    labels: str = "",
    devices: str = "",
    as_json: bool = False,
) -> int:
    """0: built, or there already; 1: the data are wrong, or the folder is."""
    if not NAME.fullmatch(model):
        return fail(f"--name {model}: use at most 64 lower-case letters, digits, '_', '.' and '-'")
    try:
        folder = build_models(
            models,
            data=data,
            seed=seed,
            force=force,
            seconds=None if full else TRAINING_SECONDS,
            model=model,
            classes=[label.strip() for label in labels.split(",")] if labels else None,
            devices=[device.strip() for device in devices.split(",")] if devices else None,
        )
    except (DataError, FileError) as error:
        return fail(str(error))
    if as_json:
        print(json.dumps({"folder": str(folder)}))
    errors.print(f"{folder} is ready; see `twinserve models show`.", highlight=False)
    return 0


def bench(
    models: Path, model: str, threads: int, repeats: int, images: int, json_file: Path | None, plots: Path | None
) -> int:
    """0: measured; 1: the models or their test set are missing or wrong."""
    try:
        version = find(models, model)
        if version.signature is not None:
            return fail(
                f"model {model}: bench measures classifiers with one input of a fixed shape only; `twinserve loadtest` "
                "measures any model"
            )
        # Variants for other devices are compared by `twinserve compare`.
        here = {name: variant for name, variant in version.variants.items() if variant.device == "cpu"}
        version = replace(version, variants=here)
        for variant in version.variants.values():
            read_artefact(variant)
        pixels, labels = read_testset(models, model)
        for path in (json_file, plots and plots / "size.svg"):
            if path is not None:
                check_writable(path)
    except ArtefactError as error:
        return fail(error.message)
    except FileError as error:
        return fail(str(error))
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        return fail(f"{models / model}/testset.npz: cannot be read ({error}); build it with `twinserve models build`")
    if images:
        pixels, labels = pixels[:images], labels[:images]
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task("bench", total=steps(version, repeats))
        found = bench_models(
            version,
            pixels,
            labels,
            threads=threads,
            repeats=repeats,
            on_step=lambda step: progress.update(task, advance=1, description=step),
        )
    console.print(bench_table(found))
    console.print(dataset_line(found.dataset), style="yellow" if not found.dataset.get("full") else "", highlight=False)
    try:
        if json_file is not None:
            write_file(json_file, json.dumps(found.to_json(), indent=1))
        if plots is not None:
            for path in draw_plots(found, version.manifest_json, plots):
                console.print(f"drawn: {path}", highlight=False)
    except FileError as error:
        return fail(str(error))
    return 0


def explain(
    models: Path, model: str, variants: tuple[str, str], images: int, json_file: Path | None, picture: Path | None
) -> int:
    """0: explained; 1: the models or their test set are missing or wrong."""
    from twinserve_models.explain import command, table  # noqa: PLC0415  (the other commands need none of it)

    try:
        version = find(models, model)
        command.check_outputs(json_file, picture)
        with errors.status("explaining …") as status:
            found = command.explain(
                models, version, *variants, images, lambda step: status.update(f"explaining: {step} …")
            )
        table.show(found, console)
        command.write_outputs(found, json_file, picture)
    except ArtefactError as error:
        return fail(error.message)
    except FileError as error:
        return fail(str(error))
    return 0


def bench_table(found: Bench) -> Table:
    """The published table: ours above the published rows."""
    total = found.rows[0].total
    threads = f"{found.threads} thread{'s' if found.threads > 1 else ''}"
    table = Table(
        "variant",
        "size KB",
        "accuracy %",
        "batch 1, s",
        "batch 64, s",
        "x fp32 at 64",
        title=f"{total:,} test images, {threads}, medians of {found.repeats}",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    baseline = found.row("fp32") or found.rows[0]
    for row in found.rows:
        gain = baseline.median_seconds(64) / row.median_seconds(64)
        table.add_row(
            row.variant,
            f"{row.bytes / 1024:,.2f}",
            f"{row.accuracy:.2f}",
            f"{row.median_seconds(1):.2f}",
            f"{row.median_seconds(64):.2f}",
            f"{gain:.2f}",
        )
    table.add_section()
    first = PUBLISHED_ROWS[0].seconds
    for published in PUBLISHED_ROWS:
        cells = (
            f"{published.size_kb:,.2f}",
            f"{published.accuracy:.2f}",
            "",
            f"{published.seconds:.2f}",
            f"{first / published.seconds:.2f}",
        )
        table.add_row(f"published {published.variant}", *cells, style="dim")
    return table
