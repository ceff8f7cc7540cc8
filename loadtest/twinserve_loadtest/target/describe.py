"""What is served at a target: DescribeModel and, where its address is known, ``/metrics``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twinserve_client import CallError, Client, ConfigurationError
from twinserve_client.cli.tls import PLAIN_TEXT_HINT
from twinserve_host.http import is_loopback
from twinserve_loadtest.record.measurement import Model, Variant
from twinserve_loadtest.target.metrics import MetricsError, read_metrics

if TYPE_CHECKING:
    from twinserve_client import TLS
    from twinserve_client import ModelInfo as Described

READY_SECONDS = 5.0


class TargetError(Exception):
    """The server cannot be tested as asked; the text says why and what to do."""


def on_this_machine(target: str) -> bool:
    """Whether server and load generator share a machine, as far as the address tells."""
    host = (target.rpartition(":")[0] or target).strip("[]")
    return target.startswith("unix:") or is_loopback(host)


def describe_target(
    target: str, model: str | None, wanted: list[str] | None, tls: TLS | None = None
) -> tuple[Model, int]:
    """Ask the server what it serves.

    Args:
        target: host:port of the service.
        model: None: the server's default model.
        wanted: Variants to test; None: all.
        tls: None: plain text.

    Returns:
        The model with the wanted variants in the wanted order, and the most images one request may carry.

    Raises:
        TargetError: nobody answers, or model or variant are not served.
    """
    try:
        with Client(target, model=model, timeout=READY_SECONDS, tls=tls) as client:
            client.wait_until_ready(READY_SECONDS)
            described = client.describe_model()
    except ConfigurationError as error:
        raise TargetError(str(error)) from None
    except CallError as error:
        hint = "; start one with `twinserve serve`" + ("" if tls else PLAIN_TEXT_HINT)
        hint = "" if error.code.name == "NOT_FOUND" else hint
        raise TargetError(f"{target}: {error.code.name}: {error.message}{hint}") from None
    served = [variant.name for variant in described.variants]
    for name in wanted or []:
        if name not in served:
            raise TargetError(f"variant {name!r} is not served at {target}; served are: {', '.join(served)}")
    return _model_info(described, wanted or served), described.max_request_images


def with_memory(model: Model, metrics_url: str) -> tuple[Model, str | None]:
    """``model`` with what each variant weighs, and None; unchanged, and why, when the metrics cannot be read."""
    try:
        page = read_metrics(metrics_url)
    except MetricsError as error:
        return model, f"no memory or CPU time by variant, and nothing on the server itself: {error}"
    variants = {
        name: replace(variant, memory=page.memory(model.name, name)) for name, variant in model.variants.items()
    }
    return replace(model, variants=variants), None


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
