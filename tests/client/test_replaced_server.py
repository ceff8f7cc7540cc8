"""A long-lived client whose server is replaced: class names follow the manifest that answered."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from support.client_face import Face
from support.digit_server import LABELS, Fault, Server
from support.server_process import ServerProcess
from support.tiny_model import LABELS as TINY_LABELS
from support.tiny_model import classes_of, items
from twinserve_client import AsyncClient, Client, LabelsUnknownError

Images = npt.NDArray[np.uint8]

#: Every call that names classes: what it answers, given a client and images.
WAYS: dict[str, Callable[[Face, Any, Images], list[str]]] = {
    "one": lambda face, client, images: [face.run(client.predict(image)).label for image in images],
    "batch": lambda face, client, images: face.run(client.predict(images)).labels,
    "stream": lambda face, client, images: [answer.label for answer in face.take(client.predict_stream(images))],
    "compare": lambda face, client, images: face.run(client.compare(images))["int8"].labels,
}


@pytest.mark.parametrize("way", WAYS)
def test_class_names_are_those_of_the_manifest_that_answered(
    face: Face, client: Any, server: Server, digits: Images, way: str
) -> None:
    assert WAYS[way](face, client, digits) == list(LABELS[:5])
    server.behaviour.labels = (*LABELS[5:], *LABELS[:5])
    server.behaviour.manifest_digest = b"another"
    assert WAYS[way](face, client, digits) == list(LABELS[5:])


def test_an_old_answer_keeps_its_names(face: Face, client: Any, server: Server, digits: Images) -> None:
    old = face.run(client.predict(digits))
    server.behaviour.labels = LABELS[::-1]
    server.behaviour.manifest_digest = b"another"
    assert face.run(client.predict(digits)).labels[0] == "nine"
    assert old.labels[0] == "zero"


def test_names_are_asked_for_once_a_manifest(face: Face, client: Any, server: Server, digits: Images) -> None:
    for digest in (b"one", b"two", b"one"):
        server.behaviour.manifest_digest = digest
        face.run(client.predict(digits))
    assert server.behaviour.calls.count("DescribeModel") == 2


def test_fewer_names_than_classes_are_no_names(face: Face, client: Any, server: Server, digits: Images) -> None:
    server.behaviour.manifest_digest = b""  # a server that does not tell which manifest answered
    server.behaviour.labels = LABELS[:3]
    with pytest.raises(LabelsUnknownError, match="does not name the 10 classes of digits version 3"):
        face.run(client.predict(digits)).labels  # noqa: B018


def test_names_that_could_not_be_had_for_the_moment_are_asked_for_again(
    face: Face, server: Server, digits: Images
) -> None:
    client = face.open(server.target, retries=0)
    server.behaviour.describe_faults.append(Fault(grpc.StatusCode.UNAVAILABLE))
    first = face.run(client.predict(digits))
    face.run(client.predict(digits))
    assert first.labels[1] == "one"


def test_a_server_replaced_on_the_same_port(
    tiny_models: Path, tmp_path: Path, serve: Callable[..., ServerProcess]
) -> None:
    models = tmp_path / "models"
    shutil.copytree(tiny_models, models)
    manifest = models / "tiny" / "1" / "manifest.json"
    images = items(8)
    classes = classes_of(images)
    before = serve(models)
    with Client(before.target) as client, asyncio.Runner() as runner:
        asynchronous = AsyncClient(before.target)
        expected = [TINY_LABELS[index] for index in classes]
        assert client.predict(images).labels == expected
        assert runner.run(asynchronous.predict(images)).labels == expected
        before.stop()
        content = json.loads(manifest.read_text())
        renamed = [*TINY_LABELS[1:], TINY_LABELS[0]]
        content["output"]["labels"] = renamed
        manifest.write_text(json.dumps(content))
        serve(models, "--port", str(before.grpc_port))
        expected = [renamed[index] for index in classes]
        client.wait_until_ready()
        assert client.predict(images).labels == expected
        runner.run(asynchronous.wait_until_ready())
        assert runner.run(asynchronous.predict(images)).labels == expected
        runner.run(asynchronous.close())
