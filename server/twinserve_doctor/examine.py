"""All checks, in the order of a server's start. One that cannot run says what is missing; the others still run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twinserve_doctor.dataset import dataset
from twinserve_doctor.finding import Finding
from twinserve_doctor.gpu import gpu
from twinserve_doctor.libraries import LIBRARIES, examine_library
from twinserve_doctor.models import models
from twinserve_doctor.network import network
from twinserve_doctor.processor import processor
from twinserve_doctor.resources import cores, memory, shared_memory


def examine(given: Mapping[str, Any], on_check: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """What is found about this machine and a server with these settings.

    Args:
        given: settings by name; they precede the environment, as with `twinserve serve`.
        on_check: told what is looked at next.
    """
    on_check("processor, cores")
    found = [processor(), cores()]
    facts: dict[str, dict[str, Any]] = {}
    for library in LIBRARIES:
        on_check(library.module)
        found.append(examine_library(library))
        facts[library.module] = found[-1].facts
    found.append(gpu(facts["torch"]))
    on_check("models, ports, data set")
    found += _server(given, facts)
    found += _tried("data set", lambda: [dataset()], "models", level="note")
    return found


def serves(findings: list[Finding]) -> bool:
    """Whether a server would start."""
    return all(finding.level != "fault" for finding in findings)


def _server(given: Mapping[str, Any], libraries: Mapping[str, dict[str, Any]]) -> list[Finding]:
    def look() -> list[Finding]:
        from twinserve_server.settings.read import SettingsError, read_settings  # noqa: PLC0415

        try:
            settings = read_settings(given)
        except SettingsError as error:
            return [Finding("settings", "fault", line, "see docs/settings.md") for line in error.message.splitlines()]
        found, served = models(settings, libraries)
        return [memory(served), shared_memory(), *found, *network(settings)]

    return _tried("server", look, "server")


def _tried(check: str, look: Callable[[], list[Finding]], extra: str, level: Any = "fault") -> list[Finding]:
    try:
        return look()
    except ModuleNotFoundError as missing:
        return [Finding(check, level, f"{missing.name} is not installed", f"pip install 'twinserve[{extra}]'")]
