"""The way to an OpenTelemetry collector."""

from __future__ import annotations

import os
from typing import Literal
from urllib.parse import urlsplit

import requests

from twinserve_host.http import is_loopback


def collector_session(signal: Literal["TRACES", "METRICS"]) -> requests.Session:
    """HTTP to where the variables of OpenTelemetry say that ``signal`` goes; a collector on this machine is out of any
    proxy's reach."""
    variables = (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    endpoint = next(filter(None, map(os.environ.get, variables)), "http://localhost:4318")
    session = requests.Session()
    session.trust_env = not is_loopback(urlsplit(endpoint).hostname or "")
    return session
