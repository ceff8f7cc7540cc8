"""``twinserve models add``: from options to a version, or to a list of mismatches."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from twinserve_host.files import FileError
from twinserve_host.functions import FunctionError, import_function, is_function_name
from twinserve_models.add.declare import (
    DeclarationError,
    check_outputs,
    metric_of,
    parse_input,
    parse_output,
    read_labels,
)
from twinserve_models.add.files import FileProblem, read_candidate
from twinserve_models.add.trial import Finding, Tried, agreement, learn_outputs, try_file
from twinserve_models.add.version import Wanted, add_version
from twinserve_models.staged import name_problem
from twinserve_models.terminal import console, errors, fail, say
from twinserve_server.artefact.signature import TensorSpec
from twinserve_server.errors import ArtefactError

DEFAULT_LIMIT = 64
USAGE = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    model: str
    files: dict[str, Path]
    inputs: list[str]
    outputs: list[str]
    labels: str
    metric: str
    max_batch_size: int | None
    models: Path


@dataclass(slots=True)
class Added:
    """What came of it: the version's folder, or what does not fit."""

    folder: Path | None = None
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    variants: dict[str, Any] = field(default_factory=dict)


def run(asked: Asked, *, as_json: bool) -> int:
    """0: added; 1: something does not fit, or cannot be written; 2: an option cannot be used."""
    try:
        with errors.status("trying the files …"):
            added = add(asked)
    except DeclarationError as error:
        return fail(str(error), USAGE)
    except FileError as error:
        return fail(str(error))
    if as_json:
        told = {**asdict(added), "folder": str(added.folder) if added.folder else None}
        print(json.dumps({"added": added.folder is not None, **told}, indent=1))
    elif added.folder is not None:
        say(console, f"{added.folder} is ready; `twinserve serve --models {asked.models}` serves it.")
        for note in added.notes:
            say(console, note)
    else:
        for finding in added.findings:
            say(errors, f"does not fit: {finding}", "red")
        say(errors, f"{asked.model} was not added; nothing was written.")
    return 1 if added.findings else 0


def add(asked: Asked) -> Added:
    """Try the files; add them when they fit.

    Raises:
        DeclarationError: an option cannot be used.
        FileError: a file cannot be written.
    """
    _check_names(asked)
    inputs = [parse_input(text) for text in asked.inputs]
    if not inputs:
        raise DeclarationError("--input: is missing; say what the model takes, for example --input image:3x32x32:FP32")
    outputs = [parse_output(text) for text in asked.outputs]
    check_outputs(outputs)
    for option, names in (("--input", [spec.name for spec in inputs]), ("--output", [one.name for one in outputs])):
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise DeclarationError(f"{option} {twice}: is declared twice; give each tensor a unique name")
    metric, kind = metric_of(asked.metric, outputs), outputs[0].kind
    _check_metric(metric)
    labels = read_labels(asked.labels) if asked.labels else []
    added, candidates = Added(), []
    for name, path in asked.files.items():
        try:
            candidates.append(read_candidate(name, path))
        except FileProblem as error:
            added.findings.append(Finding(name, "file", str(error)))
    if added.findings:
        return added
    limit = asked.max_batch_size or DEFAULT_LIMIT
    specs = learn_outputs(candidates[0], inputs, outputs, limit)
    if isinstance(specs, Tried):
        added.findings = specs.findings
        return added
    _check_classes(specs, kind, labels)
    tried = [try_file(candidate, inputs, specs, limit) for candidate in candidates]
    added.findings = [finding for one in tried for finding in one.findings]
    if added.findings:
        return added
    wanted = Wanted(asked.model, inputs, specs, kind, metric, labels, asked.max_batch_size)
    try:
        added.folder = add_version(asked.models, wanted, tried)
    except ArtefactError as error:
        added.findings = [Finding(asked.model, "as a server starts it", error.message)]
        return added
    added.variants = {one.candidate.name: _told(one) for one in tried}
    added.notes = list(_notes(tried, kind != "tensor"))
    return added


def _check_names(asked: Asked) -> None:
    for option, word in (("NAME", asked.model), *(("--variant", name) for name in asked.files)):
        if problem := name_problem(word):
            raise DeclarationError(f"{option}: {problem}")
    if not asked.files:
        raise DeclarationError("--fp32, --int8: no file is given; give at least one")


def _check_metric(metric: str) -> None:
    if is_function_name(metric):
        try:
            import_function(metric)
        except FunctionError as error:
            raise DeclarationError(f"--metric {error}") from None


def _check_classes(specs: list[TensorSpec], kind: str, labels: list[str]) -> None:
    spec = specs[0]
    if kind == "tensor":
        if labels:
            raise DeclarationError(
                "--labels: name classes, and a model of tensors has none; declare --output …:classifier"
            )
        return
    if len(spec.shape) != 1 or spec.shape[0] < 2 or not spec.datatype.startswith("FP"):
        raise DeclarationError(
            f"--output {spec.name}: is {spec.datatype} {list(spec.shape)} per item; the scores of a classifier are "
            "floating-point numbers of shape [classes], 2 at least. Declare it as tensor"
        )
    if labels and len(labels) != spec.shape[0]:
        raise DeclarationError(f"--labels: are {len(labels)}, but output {spec.name} has {spec.shape[0]} classes")


def _told(one: Tried) -> dict[str, Any]:
    assert one.facts is not None
    return {
        "file": str(one.candidate.path),
        "runtime": one.candidate.runtime,
        "precision": one.candidate.precision,
        "bytes": len(one.candidate.data),
        "kernels": one.facts.kernels,
    }


def _notes(tried: list[Tried], classifier: bool) -> list[str]:
    notes = []
    for one in tried:
        name = one.candidate.name
        assert one.facts is not None
        if one.candidate.precision == "int8" and one.facts.kernels and not one.facts.computes_in_integers:
            notes.append(f"{name}: none of its kernels computes in 8-bit integers ({', '.join(one.facts.kernels)})")
        if one is not tried[0]:
            said, little = agreement(tried[0], one, classifier)
            notes.append(f"{name}: {said}" + ("; are they the same model?" if little else ""))
    return notes
