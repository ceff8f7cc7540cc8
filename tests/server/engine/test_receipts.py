"""Answers signed into request ids: any server with the key reads them, nobody changes them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from twinserve_server.artefact.manifest import ModelVersion
from twinserve_server.artefact.repository import load_repository
from twinserve_server.engine.receipts import MAX_ID_CHARACTERS, Receipts
from twinserve_server.errors import ForeignRequestError, InvalidInputError, UnknownRequestError

KEY, OTHER = b"k" * 32, b"o" * 32


@pytest.fixture
def version(tiny_models: Path) -> ModelVersion:
    return load_repository(tiny_models)["tiny"]


def signed(version: ModelVersion, classes: list[int], key: bytes = KEY) -> str:
    return "0-ab-1" + Receipts([key]).sign("0-ab-1", version, "int8", np.array(classes, np.uint32).tobytes())


def test_another_server_with_the_key_counts_by_the_id_alone(version: ModelVersion) -> None:
    receipt = Receipts([KEY]).read(signed(version, [3, 1, 4]), [version])
    assert receipt is not None
    judgement = receipt.judge([3, 1, 0])
    assert (judgement.model, judgement.variant, judgement.correct, judgement.total) == ("tiny", "int8", 2, 3)


def test_a_key_may_be_replaced_by_one_that_the_others_know(version: ModelVersion) -> None:
    assert Receipts([OTHER, KEY]).read(signed(version, [1], KEY), [version]) is not None
    assert Receipts([KEY, OTHER]).read(signed(version, [1], OTHER), [version]) is not None


@pytest.mark.parametrize("place", [0, 5, 10, 14, 20, -1])
def test_a_changed_id_is_refused(version: ModelVersion, place: int) -> None:
    text = list(signed(version, [1]))
    text[place] = "A" if text[place] != "A" else "B"
    with pytest.raises(ForeignRequestError, match="was changed, or signed by a server with another key"):
        Receipts([KEY]).read("".join(text), [version])


@pytest.mark.parametrize("tail", ["", "!", "AAAA", "A" * 2000, "\u00e9"])
def test_what_only_looks_signed_is_refused(version: ModelVersion, tail: str) -> None:
    with pytest.raises(ForeignRequestError):
        Receipts([KEY]).read("0-ab-1.s1." + tail, [version])


def test_an_id_of_another_fleet_is_refused(version: ModelVersion) -> None:
    with pytest.raises(ForeignRequestError, match="need one --feedback-key"):
        Receipts([OTHER]).read(signed(version, [1]), [version])


def test_an_id_that_a_caller_chose_is_none_of_ours(version: ModelVersion) -> None:
    assert Receipts([KEY]).read("order-4711", [version]) is None


def test_a_version_that_is_not_served_is_named_as_such(version: ModelVersion) -> None:
    with pytest.raises(UnknownRequestError, match="not served here"):
        Receipts([KEY]).read(signed(version, [1]), [])


def test_labels_are_taken_for_a_week(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    text = signed(version, [1])
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 7 * 86400 - 60)
    assert Receipts([KEY]).read(text, [version]) is not None
    monkeypatch.setattr(time, "time", lambda: now + 7 * 86400 + 60)
    with pytest.raises(UnknownRequestError, match="has expired: feedback is accepted for 7 days"):
        Receipts([KEY]).read(text, [version])


def test_an_answer_of_many_images_is_left_to_memory(version: ModelVersion) -> None:
    assert len(signed(version, [1] * 50)) <= MAX_ID_CHARACTERS
    assert signed(version, [1] * 200) == "0-ab-1"


@pytest.mark.parametrize(("labels", "message"), [([1, 2], "2 labels for a request of 1"), ([5], "5 is not a class")])
def test_wrong_labels_are_refused(version: ModelVersion, labels: list[int], message: str) -> None:
    receipt = Receipts([KEY]).read(signed(version, [1]), [version])
    assert receipt is not None
    with pytest.raises(InvalidInputError, match=message):
        receipt.judge(labels)
