"""Names as Open Inference clients use them: models, variants and tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.artefact.signature import TensorSpec
from twinserve_server.engine.address import AT, address_of
from twinserve_server.engine.engine import Engine
from twinserve_server.engine.served import ServedModel
from twinserve_server.errors import UnknownModelError, shown

#: FP32, N x classes.
PROBABILITIES: Final = "probabilities"
#: UINT32, N x 1: the most probable class of each item.
CLASSES: Final = "classes"
OUTPUTS: Final = (PROBABILITIES, CLASSES)


def outputs_of(version: ModelVersion) -> tuple[TensorSpec, ...]:
    """What an answer holds: tensors, or the probabilities of a classifier and its classes."""
    return (*version.outputs, TensorSpec(CLASSES, "UINT32", (1,))) if version.classes else version.outputs


def resolve(engine: Engine, name: str, version: str) -> tuple[ServedModel, str]:
    """The model and variant that ``name`` refers to; an empty variant lets the router choose.

    Raises:
        UnknownModelError: no such model, or not in that version.
    """
    found = _find(engine, name)
    if found is None:
        known = ", ".join(dict.fromkeys(known_name for known_name, _, _ in addressable(engine)))
        raise UnknownModelError(f"Request for unknown model: {shown(name)} is not found; served are: {known}")
    served, variant = found
    if not version or version == served.version.version:
        return found
    loaded = engine.loaded[served.version.model]
    other = loaded.get(version)
    if other is None or (variant and variant not in other.channels):
        raise UnknownModelError(
            f"Request for unknown model: {shown(name)} version {shown(version)} is not found; "
            f"served is version {served.version.version}; loaded are: {', '.join(loaded)}"
        )
    return other, variant


def addressed(engine: Engine, served: ServedModel, variant: str) -> tuple[ServedModel, str]:
    """What answers a request, and by which name the router knows it; an empty one: it decides.

    Without a variant a version that is not active answers with the first of its manifest: the traffic policy is that of
    the active one.
    """
    if AT in variant:
        return engine.find(served.version.model, variant), variant
    if engine.models.get(served.version.model) is served:
        return served, variant
    return served, address_of(variant or next(iter(served.channels)), served.version.version)


def addressable(engine: Engine) -> Iterator[tuple[str, ServedModel, str]]:
    """Every name that a request may use, in each version that is loaded, with its model and variant."""
    for model, versions in sorted(engine.loaded.items()):
        for served in versions.values():
            yield model, served, ""
            for variant in sorted(served.channels):
                yield f"{model}_{variant}", served, variant


def is_ready(engine: Engine, served: ServedModel, variant: str) -> bool:
    """Whether requests by that name would be answered now."""
    if variant:
        return served.channels[variant].ready
    return served.live_ready if engine.models.get(served.version.model) is served else served.ready


def _find(engine: Engine, name: str) -> tuple[ServedModel, str] | None:
    if (served := engine.models.get(name)) is not None:
        return served, ""
    for model, served in engine.models.items():
        variant = name.removeprefix(f"{model}_")
        if variant != name and variant in served.channels:
            return served, variant
    return None
