"""Every runtime has a name that Open Inference clients know."""

from __future__ import annotations

from twinserve_server.artefact.platforms import PLATFORMS
from twinserve_server.artefact.schema import schema


def test_each_runtime_of_a_manifest_has_a_platform() -> None:
    runtimes = schema()["$defs"]["variant"]["properties"]["runtime"]["enum"]
    assert sorted(runtimes) == sorted(PLATFORMS)
