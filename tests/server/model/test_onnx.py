"""ONNX files beside TorchScript ones: the same answers from another runtime."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from support.server_process import ServerProcess
from support.tiny_model import classes_of, items, make_tiny_models
from support.tiny_onnx import add_onnx, tiny_graph
from twinserve_client import Client, NotFoundError
from twinserve_server.artefact.manifest import ModelVersion, read_manifest
from twinserve_server.errors import ArtefactError
from twinserve_server.model.convert import convert
from twinserve_server.model.forward import Forward


def version_with(folder: Path, data: bytes, **fields: object) -> ModelVersion:
    """A version whose variant ``ort`` is ``data``."""
    path = make_tiny_models(folder) / "tiny" / "1"
    add_onnx(path, "ort", data, **fields)
    return read_manifest(path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """TorchScript and ONNX Runtime in one server; one variant is served on demand only."""
    models = make_tiny_models(tmp_path_factory.mktemp("models"), ("fp32",))
    add_onnx(models / "tiny" / "1", "ort", tiny_graph())
    add_onnx(models / "tiny" / "1", "ort-bytes", tiny_graph(input_type=TensorProto.UINT8), on_demand=True)
    with ServerProcess(models, tmp_path_factory.mktemp("onnx"), "--gateways", "1") as process:
        yield process


@pytest.mark.parametrize("as_floats", [False, True], ids=["UINT8", "FP32"])
def test_both_runtimes_give_the_same_classes(server: ServerProcess, as_floats: bool) -> None:
    pixels = items(40, seed=11)
    sent = pixels.astype(np.float32) / 255 if as_floats else pixels
    with Client(server.target) as client:
        for variant in ("fp32", "ort"):
            assert np.array_equal(client.predict(sent, variant=variant).classes, classes_of(pixels))


def test_the_log_says_which_kernels_ran(server: ServerProcess) -> None:
    assert "onnx (onnxruntime" in server.log()
    assert "MatMul" in server.log()


def test_what_is_served_on_demand_only_is_not_served_unasked(server: ServerProcess) -> None:
    with Client(server.target) as client, pytest.raises(NotFoundError, match="ort-bytes"):
        client.predict(items(1), variant="ort-bytes")


def test_a_graph_that_takes_bytes_gets_floats_as_bytes(tmp_path: Path) -> None:
    version = version_with(tmp_path, tiny_graph(input_type=TensorProto.UINT8))
    forward = Forward(version, version.variants["ort"], 1, 4)
    pixels = items(3)
    floats = (pixels.astype(np.float32) / 255).tobytes()
    assert forward(floats, "FP32", 3).classes == forward(pixels.tobytes(), "UINT8", 3).classes


def test_grey_levels_and_floats_mean_the_same_values(tmp_path: Path) -> None:
    version = version_with(tmp_path, tiny_graph())
    levels = np.arange(256, dtype=np.uint8)
    floats = convert(levels.tobytes(), "UINT8", "FP32", version)
    assert np.array_equal(np.frombuffer(floats, np.float32), levels.astype(np.float32) / 255)
    assert convert(floats, "FP32", "UINT8", version) == levels.tobytes()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiny_graph()[:-40], "is not an ONNX file that onnxruntime"),
        (b"PK\x03\x04 something else", "is not an ONNX file that onnxruntime"),
        (tiny_graph(outputs=2), "1 inputs and 2 outputs; one of each is served"),
        (tiny_graph(input_type=TensorProto.INT64), "input 'pixels' is tensor(int64)"),
    ],
    ids=["cut off", "another format", "two outputs", "whole numbers"],
)
def test_what_cannot_be_served_is_refused_in_one_line(tmp_path: Path, data: bytes, words: str) -> None:
    version = version_with(tmp_path, data)
    with pytest.raises(ArtefactError) as caught:
        Forward(version, version.variants["ort"], 1, 4)
    assert words in caught.value.message
    assert "ort.onnx" in caught.value.message
    assert "\n" not in caught.value.message


def test_weights_in_another_file_are_refused_as_no_hash_covers_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they lie: ONNX Runtime itself would take them from the current folder."""
    model = onnx.load_from_string(tiny_graph())
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size
    monkeypatch.chdir(tmp_path)
    version = version_with(tmp_path, (tmp_path / "net.onnx").read_bytes())
    shutil.copy(tmp_path / "weights.bin", Path(version.variants["ort"].path).parent)
    with pytest.raises(ArtefactError, match=r"ort\.onnx: keeps its weights in another file, .* save it as one file"):
        Forward(version, version.variants["ort"], 1, 4)


def test_a_quantised_model_that_computes_in_floats_is_called_out(tmp_path: Path) -> None:
    version = version_with(tmp_path, tiny_graph(), quantization={"method": "static"})
    assert Forward(version, version.variants["ort"], 1, 4).facts.floats_only
    honest = version_with(tmp_path / "honest", tiny_graph())
    assert not Forward(honest, honest.variants["ort"], 1, 4).facts.floats_only
