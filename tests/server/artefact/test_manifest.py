"""Manifests and artefacts: what is wrong is named, with the file and the field."""

from __future__ import annotations

import json
import os
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
def folder(torchscript_models: Path, tmp_path: Path) -> Path:
    shutil.copytree(torchscript_models, tmp_path / "models")
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
        (lambda m: m.update(schema_version=3), r"field schema_version: is 3; this server reads 1 and 2"),
        (lambda m: m.update(model="other"), r"field model: is 'other', but the folder is 'tiny'"),
        (lambda m: m["variants"]["int8"].update(file="gone.pt"), r"variants.int8.file: .*gone.pt does not exist"),
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


def raw(folder: Path, old: str, new: str) -> None:
    """Replace text in the manifest, as an editor does."""
    path = folder / "manifest.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8", errors="surrogatepass")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[4, 4]", "[4.0, 4]", r"field input.shape.0: 4.0 is not of type 'integer'"),
        ("[4, 4]", "[true, 4]", r"field input.shape.0: True is not of type 'integer'"),
        ('"max_batch_size": 16', '"max_batch_size": 16.0', r"field variants.fp32.max_batch_size: 16.0 is not"),
        ('"schema_version": 1', '"schema_version": 1.0', r"field schema_version: 1.0 is not of type 'integer'"),
        ("[4, 4]", "[65536, 65536, 65536]", r"field input.shape: one item of \[65536, 65536, 65536\] has \d+ bytes"),
        ('"version": "1"', '"version": "1\\n"', r"field version: '1\\n' does not match"),
        ('"model": "tiny"', '"model": "tiny\\n"', r"field model: 'tiny\\n' does not match"),
        ('"int8.pt"', '"int8.pt\\n"', r"field variants.int8.file: 'int8.pt\\n' does not match"),
        ('"int8": {', '"int8\\n": {', r"'int8\\n' does not match"),
        ('"labels":', '"labels": ["x", "y"], "labels":', r"is not JSON \(the key 'labels' appears twice"),
        ('"train_images": 0', '"train_images": NaN', r"is not JSON \(NaN is not a JSON number"),
        ('"train_images": 0', '"train_images": 99999999999999999999', r"field dataset.train_images: is beyond"),
        ('"train_images": 0', '"train_images": ' + "9" * 5000, "is not JSON"),
        ('"variants":', '"training": ' + '{"a":' * 60 + "1" + "}" * 60 + ', "variants":', "is nested deeper than 32"),
        ('"variants":', '"training": ' + "[" * 200_000 + "]" * 200_000 + ', "variants":', "is nested deeper than 32"),
        ('"ant"', '"\\ud800"', r"field output.labels.0: '\\ud800' holds half a surrogate pair"),
        (
            '"FP32": [0, 1]',
            '"FP32": [1, 0]',
            r"field input.ranges.FP32: is \[1, 0\]; give the smallest and a larger value",
        ),
        ('"FP32": [0, 1]', '"FP32": [0, 1e999]', r"field input.ranges.FP32: is \[0, inf\]"),
        ('"FP32": [0, 1]', '"fp32": [0, 1]', r"field input.ranges: 'fp32' is not one of"),
    ],
)
def test_what_only_looks_like_a_manifest_is_refused_in_one_line(folder: Path, old: str, new: str, message: str) -> None:
    raw(folder, old, new)
    with pytest.raises(ArtefactError, match=message) as caught:
        read_manifest(folder)
    assert caught.value.message.startswith(f"{folder / 'manifest.json'}: ")
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 600


def test_a_manifest_that_is_not_utf_8_says_where(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"ant", b"\xe4nt"))
    with pytest.raises(ArtefactError, match=r"manifest.json: is not UTF-8 \(byte 0xe4 at position \d+\)"):
        read_manifest(folder)


def test_a_manifest_that_is_no_file_does_not_block(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    with pytest.raises(ArtefactError, match=r"manifest\.json: is not a regular file"):
        read_manifest(folder)


def test_an_artefact_stays_in_its_folder(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.pt"
    (folder / "int8.pt").rename(outside)
    (folder / "int8.pt").symlink_to(outside)
    with pytest.raises(ArtefactError, match=r"variants.int8.file: .*int8.pt is a link to .*outside.pt, outside its"):
        read_manifest(folder)


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "int8.pt").rename(folder / "blob")
    (folder / "int8.pt").symlink_to("blob")
    assert len(read_artefact(read_manifest(folder).variants["int8"])) > 1000


def test_a_link_put_there_later_is_refused(folder: Path, tmp_path: Path) -> None:
    variant = read_manifest(folder).variants["int8"]
    (tmp_path / "same.pt").write_bytes((folder / "int8.pt").read_bytes())
    (folder / "int8.pt").unlink()
    (folder / "int8.pt").symlink_to(tmp_path / "same.pt")
    with pytest.raises(ArtefactError, match="outside its folder"):
        read_artefact(variant)


def test_a_folder_that_is_no_number_holds_no_version(folder: Path) -> None:
    for name in ("²", "1٣", "1" * 10):
        shutil.copytree(folder, folder.parent / name)
    assert load_repository(folder.parent.parent)["tiny"].version == "1"
    shutil.rmtree(folder)
    with pytest.raises(ArtefactError, match=r"\(found: tiny/.*; a version is a number of up to nine digits\)"):
        load_repository(folder.parent.parent)


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
    with pytest.raises(ArtefactError, match="does not exist; name another folder, or build it with `twinserve models"):
        load_repository(tmp_path / "nowhere")
    with pytest.raises(
        ArtefactError, match=r"holds no .* \(it is empty\); name another folder, or build models there with"
    ):
        load_repository(tmp_path)
