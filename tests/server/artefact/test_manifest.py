"""Manifests and artefacts: what is wrong is named, with the file and the field."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twinserve_server.artefact.files import read_artefact
from twinserve_server.artefact.manifest import ModelVersion, read_manifest
from twinserve_server.artefact.repository import load_repository
from twinserve_server.errors import ArtefactError
from twinserve_server.ipc.codec import decode, encode


@pytest.fixture
def folder(tiny_models: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_models, tmp_path / "models")
    return tmp_path / "models" / "tiny" / "1"


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def test_a_manifest_states_what_the_server_needs(folder: Path) -> None:
    version = read_manifest(folder)
    assert (version.model, version.version, version.item_shape) == ("tiny", "1", (4, 4))
    assert version.labels == ("ant", "bee", "cat", "dog", "eel")
    assert set(version.variants) == {"fp32", "int8"}


def test_a_version_survives_the_way_to_another_process(folder: Path) -> None:
    version = read_manifest(folder)
    assert decode(encode(version), ModelVersion) == version


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.pop("input"), r"\(top level\): 'input' is a required property"),
        (lambda m: m["input"].update(datatypes=["INT4"]), r"field input.datatypes.0: 'INT4' is not one of"),
        (lambda m: m["variants"]["int8"].update(sha256="xyz"), r"field variants.int8.sha256: 'xyz' does not match"),
        (lambda m: m.update(schema_version=2), r"field schema_version: 1 was expected"),
        (lambda m: m.update(model="other"), r"field model: is 'other', but the folder is 'tiny'"),
        (lambda m: m["variants"]["int8"].update(file="gone.pt"), r"variants.int8.file: .*gone.pt is not there"),
        (lambda m: m["variants"]["int8"].update(file="../x.pt"), r"variants.int8.file"),
    ],
)
def test_a_wrong_manifest_names_the_field(folder: Path, edit: Callable[[dict[str, Any]], None], message: str) -> None:
    change(folder, edit)
    with pytest.raises(ArtefactError, match=message):
        read_manifest(folder)


def test_a_manifest_that_is_not_json_says_so(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ArtefactError, match="is not JSON"):
        read_manifest(folder)


def test_a_truncated_artefact_is_found_by_its_size(folder: Path) -> None:
    variant = read_manifest(folder).variants["int8"]
    path = Path(variant.path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtefactError, match=r"int8.pt: is corrupt: \d+ bytes, the manifest says"):
        read_artefact(variant)


def test_a_changed_artefact_is_found_by_its_hash(folder: Path) -> None:
    variant = read_manifest(folder).variants["int8"]
    path = Path(variant.path)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtefactError, match=r"int8.pt: is corrupt: SHA-256"):
        read_artefact(variant)


def test_the_greatest_version_is_served(folder: Path) -> None:
    for number in ("2", "10"):
        shutil.copytree(folder, folder.parent / number)
        change(folder.parent / number, lambda manifest, number=number: manifest.update(version=number))  # type: ignore[misc]
    assert load_repository(folder.parent.parent)["tiny"].version == "10"


def test_a_missing_or_empty_repository_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="is not there; build it with `twinserve models build`"):
        load_repository(tmp_path / "nowhere")
    with pytest.raises(ArtefactError, match=r"holds no .*; build it with `twinserve models build`"):
        load_repository(tmp_path)
