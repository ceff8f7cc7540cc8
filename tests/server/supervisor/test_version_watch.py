"""``serve --watch``: a version that appears complete is activated, one that is broken is reported once and left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server_process import ServerProcess, request, wait_until
from support.tiny_model import items, make_tiny_models
from support.versions import add_version
from twinserve.v1 import admin_pb2

SECONDS = 120


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One version."""
    return make_tiny_models(tmp_path_factory.mktemp("models"), ("int8",), runtime="onnx")


@pytest.fixture(scope="module")
def serving(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that watches its model folder."""
    with ServerProcess(models, tmp_path_factory.mktemp("server"), "--watch") as process:
        yield process


def version_of(models: Path, scratch: Path, version: str) -> Path:
    """The folder of a new version, somewhere else."""
    root = scratch / "models"
    shutil.copytree(models / "tiny" / "1", root / "tiny" / "1")
    return add_version(root, version)


def appear(models: Path, scratch: Path, version: str, artefact: bytes = b"") -> None:
    """A version as a copy puts it there: the manifest first, then the artefact, or what stands in its place."""
    made, folder = version_of(models, scratch, version), models / "tiny" / version
    folder.mkdir()
    shutil.copy(made / "manifest.json", folder)
    (folder / "int8.onnx").write_bytes(artefact or (made / "int8.onnx").read_bytes())


def active(server: ServerProcess) -> str:
    """The version that answers requests which name none."""
    return server.predict.Predict(request(items(1)), timeout=SECONDS).served_by.version


def test_versions_are_activated_as_they_appear(serving: ServerProcess, models: Path, tmp_path: Path) -> None:
    appear(models, tmp_path / "a", "2")
    wait_until(lambda: active(serving) == "2", SECONDS, serving.log)

    # A broken one is reported once; the next good one finds a server that serves.
    appear(models, tmp_path / "b", "3", b"not a model")
    wait_until(lambda: "new_version_not_activated" in serving.log(), SECONDS, serving.log)
    assert active(serving) == "2"

    # As a ConfigMap is mounted: files are links through ..data, which is turned when all is there.
    folder = models / "tiny" / "4"
    folder.mkdir()
    shutil.move(version_of(models, tmp_path / "c", "4"), folder / "..1")
    for name in ("manifest.json", "int8.onnx"):
        (folder / name).symlink_to(Path("..data") / name)
    (folder / "..data").symlink_to("..1")
    wait_until(lambda: active(serving) == "4", SECONDS, serving.log)

    told = [line for line in serving.log().splitlines() if "new_version_not_activated" in line]
    assert "int8.onnx: is corrupt: 11 bytes" in told[-1]
    # Once for its manifest alone, if that was all there was for a second, and once for what it is.
    assert len(told) <= 2


def test_an_operator_who_rolls_back_is_not_overruled(serving: ServerProcess, models: Path, tmp_path: Path) -> None:
    serving.admin.ActivateVersion(admin_pb2.ActivateVersionRequest(version="1"), timeout=SECONDS)
    appear(models, tmp_path, "0")
    appear(models, tmp_path / "b", "50")
    # The next one is: when it has come, the watch has looked at those that it must leave alone.
    wait_until(lambda: active(serving) == "50", SECONDS, serving.log)
    assert serving.log().count("version_activated") == 4
