"""What the servers under test serve: DescribeModel and, where its address is known, ``/metrics``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

from twinserve_client import CallError, Client, ConfigurationError
from twinserve_client.cli.tls import PLAIN_TEXT_HINT
from twinserve_loadtest.record.measurement import AT, Memory, Model, Variant
from twinserve_loadtest.target.error import TargetError
from twinserve_loadtest.target.metrics import MetricsError, read_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from twinserve_client import ModelInfo as Described
    from twinserve_loadtest.target.servers import Server, Servers

READY_SECONDS = 5.0


def describe_target(servers: Servers, model: str | None, wanted: list[str] | None) -> tuple[Model, int]:
    """Ask every server what it serves.

    Args:
        servers: all of those under test.
        model: None: the first server's default model.
        wanted: Variants to test, ``int8@2`` being that of version 2; None: all of the active version.

    Returns:
        The model with the wanted variants in the wanted order, and the most images one request may carry.

    Raises:
        TargetError: there is none, or one does not answer, or does not serve model or variant, or they serve different
            artefacts.
    """
    if not servers:
        raise TargetError("there is no server to test; give host:port")
    if unfinished := next((name for name in wanted or [] if name.endswith(AT)), None):
        raise TargetError(f"variant {unfinished!r}: a version is missing after {AT}, as in {unfinished}2")
    versions = dict.fromkeys(name.partition(AT)[2] for name in wanted or [""])
    described: dict[str, dict[str, Described]] = {version: {} for version in versions}
    for server in servers:
        found = _describe(server, model, versions)
        model = next(iter(found.values())).model
        for version, told in found.items():
            described[version][server.address] = told
    for name in wanted or []:
        base, _, version = name.partition(AT)
        for address, told in described[version].items():
            served = [variant.name for variant in told.variants]
            if base not in served:
                raise TargetError(
                    f"variant {name!r} is not served at {address}; version {told.version} has: {', '.join(served)}"
                )
    for by_server in described.values():
        _same(by_server)
    firsts = {version: next(iter(by_server.values())) for version, by_server in described.items()}
    _alike(list(firsts.values()))
    names = wanted or [variant.name for variant in firsts[""].variants]
    most_images = min(told.max_request_images for by_server in described.values() for told in by_server.values())
    return _model_info(firsts, names), most_images


def with_memory(model: Model, metrics_urls: Sequence[str]) -> tuple[Model, str | None]:
    """``model`` with what each variant weighs, and None; unchanged, and why, when the metrics cannot be read.

    Of several servers, what their processes hold is summed; what one process adds is that of the server where it is
    the most.
    """
    try:
        pages = [read_metrics(url) for url in metrics_urls]
    except MetricsError as error:
        return model, f"no memory or CPU time by variant, and nothing on the server itself: {error}"
    variants = {
        name: replace(variant, memory=_all_memory([page.memory(model.name, variant) for page in pages]))
        for name, variant in model.variants.items()
    }
    return replace(model, variants=variants), None


def check_versions(metrics_urls: Sequence[str]) -> None:
    """Of those whose metrics can be read.

    Raises:
        TargetError: the servers run different versions of twinserve.
    """
    versions: dict[str, str] = {}
    for url in metrics_urls if len(metrics_urls) > 1 else ():
        with suppress(MetricsError):
            versions[url] = read_metrics(url).label("twinserve_build_info", "version")
    if len(set(versions.values())) > 1:
        told = ", ".join(f"{url} {version}" for url, version in versions.items())
        raise TargetError(f"the servers run different versions of twinserve ({told}); all must run the same one")


def _describe(server: Server, model: str | None, versions: Iterable[str]) -> dict[str, Described]:
    """The versions of a model, "" being the one that is active."""
    try:
        with Client(server.address, model=model, timeout=READY_SECONDS, tls=server.tls) as client:
            client.wait_until_ready(READY_SECONDS)
            return {version: client.describe_model(version=version) for version in versions}
    except ConfigurationError as error:
        raise TargetError(str(error)) from None
    except CallError as error:
        hint = "; start one with `twinserve serve`" + ("" if server.tls else PLAIN_TEXT_HINT)
        hint = "" if error.code.name == "NOT_FOUND" else hint
        raise TargetError(f"{server.address}: {error.code.name}: {error.message}{hint}") from None


def _same(described: Mapping[str, Described]) -> None:
    """Refuse servers whose answers are not those of one model."""
    (first, model), *others = described.items()
    for address, other in others:
        for what, one, two in (
            ("version", model.version, other.version),
            ("variants", _artefacts(model), _artefacts(other)),
            ("manifest", model.manifest_json, other.manifest_json),
        ):
            if one != two:
                shown = f" ({one} and {two})" if what != "manifest" else ""
                raise TargetError(
                    f"{first} and {address} serve {model.model} with different {what}{shown}; "
                    "one measurement needs the same model everywhere: roll the servers out first, or name one of them"
                )


def _alike(versions: Sequence[Described]) -> None:
    """Refuse versions that cannot be sent the same and held against each other."""
    first, *others = versions
    for other in others:
        for what, one, two in (
            ("inputs", _signature(first), _signature(other)),
            ("classes", first.labels, other.labels),
            ("outputs", (first.outputs, _output(first)), (other.outputs, _output(other))),
        ):
            if one != two:
                raise TargetError(
                    f"versions {first.version} and {other.version} of {first.model} have different {what}: "
                    "their answers to the same requests cannot be compared"
                )


def _signature(model: Described) -> tuple[object, ...]:
    return model.item_shape, model.datatypes, model.inputs


def _output(model: Described) -> tuple[str, str]:
    """Whether the answers are classes, and the metric that judges them otherwise."""
    output = (model.manifest if model.manifest_json else {}).get("output", {})
    return ("tensors", str(output.get("metric"))) if output.get("kind") == "tensors" else ("classes", "")


def _artefacts(model: Described) -> str:
    return ", ".join(
        f"{variant.name} {variant.sha256[:12]}" for variant in sorted(model.variants, key=attrgetter("name"))
    )


def _all_memory(memories: Sequence[Memory]) -> Memory:
    stages = dict.fromkeys(stage for memory in memories for stage in memory.added_by_stage)
    return Memory(
        added_by_stage={
            stage: max(memory.added_by_stage[stage] for memory in memories if stage in memory.added_by_stage)
            for stage in stages
        },
        resident_pss=_sum(memory.resident_pss for memory in memories),
        resident_rss=_sum(memory.resident_rss for memory in memories),
        parameter_bytes=max((memory.parameter_bytes for memory in memories if memory.parameter_bytes), default=None),
    )


def _sum(values: Iterable[float | None]) -> float | None:
    """None when one is not known: a sum of some servers would read as one of all."""
    known = list(values)
    return sum(value for value in known if value is not None) if None not in known else None


def _model_info(described: Mapping[str, Described], names: list[str]) -> Model:
    manifests = {version: told.manifest if told.manifest_json else {} for version, told in described.items()}
    variants = {}
    for name in names:
        base, _, version = name.partition(AT)
        variant = described[version].variant(base)
        variants[name] = Variant(
            name=name,
            sha256=variant.sha256,
            artefact_bytes=variant.artefact_bytes,
            max_batch_size=variant.max_batch_size,
            weight=variant.weight,
            manifest=manifests[version].get("variants", {}).get(base, {}),
            version=described[version].version,
        )
    first = next(iter(described))
    return Model(
        name=described[first].model,
        version=", ".join(dict.fromkeys(variant.version for variant in variants.values())),
        item_shape=list(described[first].item_shape),
        labels=list(described[first].labels),
        variants=variants,
        manifest=manifests[first],
    )
