"""Names as Open Inference clients use them: which model, which variant, and what its tensors are called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.artefact.signature import TensorSpec
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
    """The model and the variant that ``name`` means; an empty variant: the router decides.

    Raises:
        UnknownModelError: no such model, or not in that version.
    """
    found = _find(engine, name)
    if found is None:
        known = ", ".join(known_name for known_name, _, _ in addressable(engine))
        raise UnknownModelError(f"Request for unknown model: {shown(name)} is not found; served are: {known}")
    if version and version != found[0].version.version:
        raise UnknownModelError(
            f"Request for unknown model: {shown(name)} version {shown(version)} is not found; "
            f"served is version {found[0].version.version}"
        )
    return found


def addressable(engine: Engine) -> Iterator[tuple[str, ServedModel, str]]:
    """Every name that a request may use, with its model and variant."""
    for model, served in sorted(engine.models.items()):
        yield model, served, ""
        for variant in sorted(served.channels):
            yield f"{model}_{variant}", served, variant


def is_ready(served: ServedModel, variant: str) -> bool:
    """Whether requests by that name would be answered now."""
    return served.channels[variant].ready if variant else served.live_ready


def _find(engine: Engine, name: str) -> tuple[ServedModel, str] | None:
    if (served := engine.models.get(name)) is not None:
        return served, ""
    for model, served in engine.models.items():
        variant = name.removeprefix(f"{model}_")
        if variant != name and variant in served.channels:
            return served, variant
    return None
