"""The traffic file: read whole or not at all, and followed by its content."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from twinserve_server.artefact.repository import load_repository
from twinserve_server.engine.router import ShadowPolicy
from twinserve_server.supervisor.traffic_file import TrafficFile, TrafficFileError


def names_in(models: Path) -> dict[str, set[str]]:
    return {model: set(version.variants) for model, version in load_repository(models).items()}


def text(generation: int, weights: dict[str, Any], model: str = "tiny", **more: Any) -> str:
    return json.dumps({"generation": generation, "models": {model: {"weights": weights, **more}}})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "traffic.json"
    found.write_text(text(1, {"fp32": 1}))
    return found


@pytest.fixture
def file(path: Path, tiny_models: Path) -> TrafficFile:
    return TrafficFile(path, partial(names_in, tiny_models))


def test_it_holds_weights_shadows_and_a_generation(path: Path, file: TrafficFile) -> None:
    path.write_text(text(7, {"fp32": 9, "int8": 1}, shadows={"int8": 0.5}))
    assert file.refresh()
    policy = file.policies["tiny"]
    assert policy.shares == {"fp32": 0.9, "int8": 0.1}
    assert policy.shadows == (ShadowPolicy("int8", 0.5),)
    assert (file.generation, policy.generation) == (7, 7)


def test_what_has_not_changed_is_not_read_again(path: Path, file: TrafficFile) -> None:
    path.write_text(path.read_text())
    assert not file.refresh()


def test_a_config_map_is_followed_through_its_symlinks(tmp_path: Path, tiny_models: Path) -> None:
    """As the kubelet does it: the file is a link through ``..data``, which is turned to another folder at once."""
    for number, weights in ((1, {"fp32": 1.0}), (2, {"int8": 1.0})):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "traffic.json").write_text(text(number, weights))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "traffic.json").symlink_to("..data/traffic.json")
    file = TrafficFile(tmp_path / "traffic.json", partial(names_in, tiny_models))
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert file.refresh()
    assert file.policies["tiny"].shares == {"int8": 1.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("[]", "not an object; the file looks like"),
        ('{"generation": 2}', "models is missing"),
        ('{"generation": 0, "models": {}}', "generation: is '0'; give a whole number above 0"),
        ('{"generation": "2", "models": {}}', "generation: is '2'; give a whole number"),
        ('{"generation": 2, "generation": 3, "models": {}}', "'generation' appears twice"),
        (text(2, {"fp32": 1}, model="mnits"), "models.'mnits'.: no such model; served are: tiny"),
        (text(2, {"int4": 1}), "weights.'int4'.: no such variant; served are: fp32, int8"),
        (text(2, {"fp32": "1"}), "weights.'fp32'.: is '1', not a number"),
        (text(2, {"fp32": True}), "weights.'fp32'.: is 'True', not a number"),
        (text(2, {"fp32": -1}), "-1.0 is not a weight"),
        (text(2, {"fp32": 0}), "at least one variant needs a weight above 0"),
        (text(2, {"fp32": 1}, shadow={"int8": 1}), "'shadow' is unknown"),
        (text(2, {"fp32": 1}, shadows={"int8": 2}), "2.0 is not within 0..1"),
        (text(1, {"int8": 1}), "generation: is still 1, but the content has changed"),
    ],
)
def test_a_bad_one_keeps_the_old_policy_and_is_told_once(
    path: Path, file: TrafficFile, content: str, message: str
) -> None:
    before, good = file.policies, path.read_text()
    path.write_text(content)
    with pytest.raises(TrafficFileError, match=message) as caught:
        file.refresh()
    assert str(path) in caught.value.message
    assert not file.good
    assert not file.refresh()
    assert file.policies == before
    path.write_text(good)
    assert not file.refresh()
    assert file.good


def test_one_that_is_gone_keeps_the_old_policy(path: Path, file: TrafficFile) -> None:
    path.unlink()
    with pytest.raises(TrafficFileError, match=r"cannot be read \(No such file"):
        file.refresh()
    assert file.policies["tiny"].shares == {"fp32": 1.0}
