"""Paths, PIL images and torch tensors where the clients take images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from support.client_face import Face
from support.digit_server import SHAPE, Server
from twinserve.v1 import predict_pb2
from twinserve_client import InvalidInputError, Prediction

#: A picture of the item's size, light on dark: it is taken as it is.
PIXELS = np.zeros(SHAPE, np.uint8)
PIXELS[5:9, 2:5] = 200
LABEL = int(PIXELS.sum()) % 10


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "seven.png"
    Image.fromarray(PIXELS).save(path)
    return path


def test_a_path_and_a_picture_are_images(face: Face, client: Any, file: Path) -> None:
    for image in (file, str(file), Image.open(file), Image.fromarray(PIXELS)):
        prediction = face.run(client.predict(image))
        assert prediction.classes.tolist() == [LABEL]
    batch = face.run(client.predict([file, Image.fromarray(PIXELS), str(file)]))
    assert batch.classes.tolist() == [LABEL] * 3
    assert [len(answer) for answer in face.run(client.compare(file)).values()] == [1, 1]
    answers = face.take(client.predict_stream([file, PIXELS, [file, file]]))
    assert [answer.classes.tolist() for answer in answers] == [[LABEL], [LABEL], [LABEL, LABEL]]


def test_a_large_picture_becomes_what_the_manifest_asks_for(face: Face, client: Any, server: Server) -> None:
    face.run(client.predict(Image.fromarray(255 - PIXELS).resize((280, 280))))
    sent = next(request for request in server.behaviour.requests if isinstance(request, predict_pb2.PredictRequest))
    assert list(sent.input.shape) == [28, 28]
    assert sent.input.datatype == predict_pb2.DATA_TYPE_UINT8
    assert server.behaviour.calls == ["DescribeModel", "Predict"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (Path("nowhere.png"), r"input: nowhere\.png: cannot be read \(No such file"),
        ("nowhere.png", r"input: nowhere\.png: cannot be read"),
        (Path("/"), "input: /: cannot be read"),
        ("a\0b", "is not a file name"),
        ([Image.fromarray(PIXELS), 5], "input: picture 1: is of type int; give paths or PIL images"),
        (Image.new("L", (28, 28)), "input: picture 0: shows nothing"),
        (Image.new("F", (28, 28), float("inf")), "input: picture 0: holds NaN or infinite pixels"),
    ],
    ids=["path", "text", "folder", "no-name", "list", "empty", "infinite"],
)
def test_what_is_no_picture_is_named(face: Face, client: Any, images: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        face.run(client.predict(images))
    outcomes = face.take(client.predict_stream([images, PIXELS], on_error="return"))
    assert [type(outcome) for outcome in outcomes] == [InvalidInputError, Prediction]


def test_a_server_that_takes_no_pictures_says_so(face: Face, client: Any, server: Server) -> None:
    server.behaviour.manifest_json = "{}"
    with pytest.raises(InvalidInputError, match=r"model digits: its manifest has no inputs.0\.image"):
        face.run(client.predict(Image.fromarray(PIXELS)))


def test_tensors_are_arrays(face: Face, client: Any) -> None:
    pixels = torch.from_numpy(PIXELS)
    unit = (pixels / 255).requires_grad_()
    tensors = [pixels, unit, unit.half(), unit.bfloat16(), unit.double(), torch.stack([unit, unit]), [unit, unit]]
    for tensor in tensors:
        assert len(face.run(client.predict(tensor))) in (1, 2)
    outcomes = face.take(client.predict_stream(tensors, on_error="return"))
    assert {type(outcome) for outcome in outcomes} == {Prediction}
    with pytest.raises(InvalidInputError, match=r"input\.datatype: is int64"):
        face.run(client.predict(pixels.long()))


BARE = """
import sys
sys.modules["PIL"] = None  # as where Pillow is not installed
from twinserve_client import Client, ConfigurationError
with Client(sys.argv[1]) as client:
    try:
        client.predict("seven.png")
    except ConfigurationError as error:
        print(error)
"""


def test_without_pillow_the_way_to_get_it_is_told(server: Server) -> None:
    done = subprocess.run([sys.executable, "-c", BARE, server.target], capture_output=True, text=True, check=True)
    assert done.stdout == "pictures need PIL: pip install 'twinserve[cli]'\n"
