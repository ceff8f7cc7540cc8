"""What the server says of itself on ``/metrics``: memory and CPU by variant."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import Request

from prometheus_client.parser import text_string_to_metric_families

from twinserve_client._environment import VARIABLE
from twinserve_host.http import HttpError, is_loopback, read_url
from twinserve_loadtest.record.measurement import Memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.samples import Sample

    from twinserve_loadtest.record.measurement import Variant

TIMEOUT_SECONDS = 5.0


class MetricsError(Exception):
    """The metrics page could not be read; the message names the address and the reason."""


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """One reading of a server's metrics."""

    samples: Sequence[Sample]

    def sum(self, name: str, **labels: str) -> float | None:
        """The sum over the samples ``name`` that carry ``labels``; None when there is none."""
        values = [sample.value for sample in self._find(name, labels)]
        return sum(values) if values else None

    def by_label(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Sums by the values of ``label``."""
        sums: dict[str, float] = {}
        for sample in self._find(name, labels):
            key = sample.labels.get(label, "")
            sums[key] = sums.get(key, 0.0) + sample.value
        return sums

    def label(self, name: str, label: str) -> str:
        """The value of a label of the first sample ``name``; empty when there is none."""
        return next((sample.labels.get(label, "") for sample in self._find(name, {})), "")

    def memory(self, model: str, variant: Variant) -> Memory:
        """What ``variant`` weighs, in bytes."""
        named = _labels(model, variant)
        return Memory(
            added_by_stage=self.by_label("twinserve_model_added_bytes", "stage", **named),
            resident_pss=self.sum("twinserve_model_resident_bytes", kind="pss", **named),
            resident_rss=self.sum("twinserve_model_resident_bytes", kind="rss", **named),
            parameter_bytes=self.sum("twinserve_model_parameter_bytes", **named),
        )

    def cpu_seconds(self, model: str, variant: Variant) -> float | None:
        """CPU seconds of the model processes of ``variant`` so far; None: the server does not tell."""
        return self.sum("twinserve_model_cpu_seconds_total", **_labels(model, variant))

    def gateway_cpu_seconds(self) -> dict[str, float]:
        """CPU seconds of the gateways so far, by gateway."""
        return self.by_label("twinserve_gateway_cpu_seconds_total", "gateway")

    def replicas(self, model: str, variant: Variant) -> int:
        """The model processes of ``variant``."""
        return len(self.by_label("twinserve_model_resident_bytes", "replica", kind="pss", **_labels(model, variant)))

    def _find(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        wanted = labels.items()
        return (sample for sample in self.samples if sample.name == name and wanted <= sample.labels.items())


def _labels(model: str, variant: Variant) -> dict[str, str]:
    return {"model": model, "variant": variant.served_as, "version": variant.version}


def read_metrics(url: str) -> MetricsPage:
    """Read the page once.

    Args:
        url: ``http://host:port`` with or without ``/metrics``.

    Raises:
        MetricsError: the address is not HTTP, nobody answers, or the answer is not the metrics of twinserve.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise MetricsError(f"{url}: is not a metrics address; expected http://host:port")
    address = url if parts.path.rstrip("/") else f"{url.rstrip('/')}/metrics"
    try:
        text = read_url(_request(address), TIMEOUT_SECONDS).decode()
    except (HttpError, UnicodeDecodeError) as error:
        raise MetricsError(f"{address}: the metrics could not be read ({error})") from None
    try:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except Exception:  # noqa: BLE001  # the parser raises whatever a line that is none makes it stumble over
        samples = []
    if not any(sample.name.startswith("twinserve_") for sample in samples):
        raise MetricsError(
            f"{address}: answers, but not with the metrics of twinserve; `twinserve serve` prints their address"
        )
    return MetricsPage(samples)


def _request(address: str) -> Request:
    """With the token that the clients show as well, where nobody on the way can read it; no redirection takes it on."""
    request = Request(address)  # noqa: S310  (http or https: checked by the caller)
    parts = urlsplit(address)
    token = os.environ.get(VARIABLE)
    if token and (parts.scheme == "https" or is_loopback(parts.hostname or "")):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return request
