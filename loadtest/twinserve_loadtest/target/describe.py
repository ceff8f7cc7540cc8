"""What the servers under test serve: DescribeModel and, where its address is known, ``/metrics``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

from twinserve_client import CallError, Client, ConfigurationError
from twinserve_client.cli.tls import PLAIN_TEXT_HINT
from twinserve_loadtest.record.measurement import Memory, Model, Variant
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
        wanted: Variants to test; None: all.

    Returns:
        The model with the wanted variants in the wanted order, and the most images one request may carry.

    Raises:
        TargetError: there is none, or one does not answer, or does not serve model or variant, or they serve different
            artefacts.
    """
    if not servers:
        raise TargetError("there is no server to test; give host:port")
    described: dict[str, Described] = {}
    for server in servers:
        described[server.address] = _describe(server, model)
        model = described[server.address].model
    for address, told in described.items():
        served = [variant.name for variant in told.variants]
        for name in wanted or []:
            if name not in served:
                raise TargetError(f"variant {name!r} is not served at {address}; served are: {', '.join(served)}")
    first = next(iter(described.values()))
    names = wanted or [variant.name for variant in first.variants]
    _same(described)
    return _model_info(first, names), min(told.max_request_images for told in described.values())


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
        name: replace(variant, memory=_all_memory([page.memory(model.name, name) for page in pages]))
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
        raise TargetError(f"the servers run different versions of twinserve ({told}); a measurement needs equal ones")


def _describe(server: Server, model: str | None) -> Described:
    try:
        with Client(server.address, model=model, timeout=READY_SECONDS, tls=server.tls) as client:
            client.wait_until_ready(READY_SECONDS)
            return client.describe_model()
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


def _model_info(described: Described, names: list[str]) -> Model:
    manifest = described.manifest if described.manifest_json else {}
    entries = manifest.get("variants", {})
    variants = {}
    for name in names:
        variant = described.variant(name)
        variants[name] = Variant(
            name=name,
            sha256=variant.sha256,
            artefact_bytes=variant.artefact_bytes,
            max_batch_size=variant.max_batch_size,
            weight=variant.weight,
            manifest=entries.get(name, {}),
        )
    return Model(
        name=described.model,
        version=described.version,
        item_shape=list(described.item_shape),
        labels=list(described.labels),
        variants=variants,
        manifest=manifest,
    )
