"""Whether a server is one process or many."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.artefact.repository import load_repository
from twinserve_server.settings.server import ServerSettings
from twinserve_server.supervisor.profile import ProfileError, choose_profile


@pytest.fixture
def versions(tiny_models: Path) -> dict[str, ModelVersion]:
    return load_repository(tiny_models)


def with_engines(versions: dict[str, ModelVersion], *engines: str) -> dict[str, ModelVersion]:
    version = versions["tiny"]
    variants = {
        name: dataclasses.replace(variant, quantized_engine=engine)
        for (name, variant), engine in zip(version.variants.items(), engines, strict=True)
    }
    return {"tiny": dataclasses.replace(version, variants=variants)}


def test_one_core_gets_one_process_and_more_get_several(versions: dict[str, ModelVersion]) -> None:
    assert choose_profile(ServerSettings(), versions, 1).edge
    assert not choose_profile(ServerSettings(), versions, 2).edge


def test_the_setting_decides_whatever_the_machine(versions: dict[str, ModelVersion]) -> None:
    assert choose_profile(ServerSettings(profile="edge"), versions, 16).edge
    assert not choose_profile(ServerSettings(profile="isolated"), versions, 1).edge


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"gateways": 2}, "--gateways 2"),
        ({"replicas": {"int8": 2}}, "--replicas int8=2"),
        ({"pin": {"int8": [0]}}, "--pin int8"),
    ],
)
def test_settings_that_need_several_processes_keep_one_core_from_it_and_refuse_edge(
    versions: dict[str, ModelVersion], settings: dict[str, object], named: str
) -> None:
    chosen = choose_profile(ServerSettings(**settings), versions, 1)  # type: ignore[arg-type]
    assert (chosen.edge, named in chosen.reason) == (False, True)
    with pytest.raises(ProfileError, match=named):
        choose_profile(ServerSettings(profile="edge", **settings), versions, 1)  # type: ignore[arg-type]


def test_one_of_each_may_be_asked_for(versions: dict[str, ModelVersion]) -> None:
    assert choose_profile(ServerSettings(profile="edge", gateways=1, replicas={"int8": 1}), versions, 2).edge


def test_torch_has_one_quantised_engine_a_process(versions: dict[str, ModelVersion]) -> None:
    assert choose_profile(ServerSettings(), with_engines(versions, "none", "x86"), 1).edge
    two = with_engines(versions, "onednn", "x86")
    assert "onednn and x86" in choose_profile(ServerSettings(), two, 1).reason
    with pytest.raises(ProfileError, match="onednn and x86"):
        choose_profile(ServerSettings(profile="edge"), two, 1)
