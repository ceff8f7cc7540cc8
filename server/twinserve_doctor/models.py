"""The model folder: manifests, hashes, and whether what runs each artefact is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinserve_doctor.finding import Finding

if TYPE_CHECKING:
    from twinserve_server.artefact.manifest import ModelVersion
    from twinserve_server.settings.server import ServerSettings

#: What a runtime needs.
LIBRARY_OF = {"torchscript": "torch", "onnx": "onnxruntime"}


def models(settings: ServerSettings, libraries: Mapping[str, dict[str, Any]]) -> tuple[list[Finding], int]:
    """A finding for each model, and how many variants a server with these settings would serve.

    Args:
        settings: of the server.
        libraries: by module name, the facts that were found about them.
    """
    from twinserve_server.artefact.repository import find_versions, read_version  # noqa: PLC0415
    from twinserve_server.errors import ArtefactError, TwinserveError  # noqa: PLC0415
    from twinserve_server.serve import nothing_in  # noqa: PLC0415
    from twinserve_server.supervisor.plan import make_plan  # noqa: PLC0415

    folder = settings.model_folder
    folders = find_versions(folder)
    if not folders and settings.models is None and settings.build and nothing_in(folder):
        return [_first_build(folder)], 1
    if not folders:
        advice = f"name another folder with --models, or build one: `twinserve models build --models {folder}`"
        return [Finding("models", "fault", f"{folder} holds no <model>/<version>/manifest.json", advice)], 0
    wrong, versions = [], {}
    for name, numbers in folders.items():
        try:
            versions[name] = read_version(numbers[0], settings.model_key)
        except ArtefactError as error:
            advice = "correct it, or build the model again"
            wrong.append(Finding(f"model {name}", "fault", error.message, advice))
    served: dict[str, ModelVersion] = versions
    if not wrong:
        try:
            served = make_plan(settings, versions, "").versions
        except TwinserveError as error:
            wrong.append(Finding("settings", "fault", error.message, "correct the TWINSERVE_ variable"))
    found = [
        _artefacts(version, list(served[name].variants) if name in served else [], libraries)
        for name, version in versions.items()
    ]
    return [*wrong, *found], sum(len(version.variants) for version in served.values())


def _first_build(folder: Path) -> Finding:
    if importlib.util.find_spec("torchvision") is None:
        advice = "pip install 'twinserve[models]', or name a folder of your own with --models"
        return Finding(
            "models",
            "fault",
            f"{folder} contains no models, and twinserve[models], which builds them, is not installed",
            advice,
        )
    found = f"{folder} contains no models yet: the first `twinserve serve` builds the MNIST pair, which takes minutes"
    return Finding("models", "ok", found)


def _artefacts(version: ModelVersion, served: list[str], libraries: Mapping[str, dict[str, Any]]) -> Finding:
    from twinserve_server.artefact.files import read_artefact  # noqa: PLC0415
    from twinserve_server.errors import ArtefactError  # noqa: PLC0415

    check = f"model {version.model}"
    faults: list[str] = []
    notes: list[str] = []
    facts: dict[str, Any] = {"version": version.version, "variants": {}}
    for variant in version.variants.values():
        wrong = ""
        try:
            read_artefact(variant)
        except ArtefactError as error:
            wrong = error.message
        library = LIBRARY_OF.get(variant.format, variant.format)
        known = libraries.get(library, {})
        if not wrong and not known.get("version"):
            wrong = f"variant {variant.name!r} needs {library}: pip install 'twinserve[{variant.format}]'"
        engine = variant.quantized_engine
        if not wrong and variant.format == "torchscript" and engine not in {"none", *known["engines"]}:
            wrong = f"variant {variant.name!r} needs the engine {engine!r}, which this build of torch lacks"
        if not wrong and variant.device != "cpu" and not known.get("cuda"):
            wrong = f"variant {variant.name!r} needs {variant.device}, and torch finds no CUDA device"
        facts["variants"][variant.name] = wrong or "ok"
        if wrong:
            (faults if variant.name in served else notes).append(wrong)
    names = ", ".join(served)
    found = f"version {version.version} serves {names or 'no variant'}; {len(version.variants)} files"
    if faults:
        return Finding(check, "fault", f"{found}; {faults[0]}", "; ".join([*faults[1:], *notes]) or _REPAIR, facts)
    if notes:
        return Finding(check, "note", f"{found}, those that are served verified", "; ".join(notes), facts)
    return Finding(check, "ok", f"{found} verified by SHA-256", facts=facts)


_REPAIR = "build the model again, put the file back, or install what it needs"
