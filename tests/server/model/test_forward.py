"""What an artefact answers is checked before anybody asks, and again with every answer."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.odd_artefacts import CLASSES, saved, script, write_model
from twinserve_server.artefact.manifest import read_manifest
from twinserve_server.errors import ArtefactError, InferenceError
from twinserve_server.model.forward import Forward
from twinserve_server.model.torchscript import configure_torch

GOOD = "return torch.softmax(x[:, :3] * 5, 1)"

Load = Callable[..., Forward]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads an artefact: the body of its forward(), or the bytes of its file."""

    def load(artefact: str | bytes, **manifest: Any) -> Forward:
        data = saved(script(artefact)) if isinstance(artefact, str) else artefact
        version = read_manifest(write_model(tmp_path / "models", data, **manifest) / "odd" / "1")
        variant = version.variants["fp32"]
        return Forward(version, variant, 1, variant.max_batch_size)

    return load


def refusal(load: Load, artefact: str | bytes, **manifest: Any) -> str:
    """What is said of an artefact that cannot be served, in one line that begins with its file."""
    with pytest.raises(ArtefactError) as caught:
        load(artefact, **manifest)
    file, message = caught.value.message.split("fp32.pt: ", 1)
    assert "\n" not in message
    assert len(file + message) < 700
    return message


def floats(count: int) -> bytes:
    return np.random.default_rng(1).random((count, 6), np.float32).tobytes()


def traced_with_one() -> bytes:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.softmax(x.reshape(1, 6)[:, :3], 1)

    return saved(torch.jit.trace(Net(), torch.zeros(1, 6)))


def lstm_without_batch_first() -> bytes:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out, _ = self.lstm(x.unsqueeze(1))
            return torch.softmax(out[-1:].squeeze(1), 1)

    return saved(torch.jit.script(Net().eval()))


@pytest.mark.parametrize(
    ("artefact", "message"),
    [
        (lstm_without_batch_first, "takes 1 item, but not 8: forward() returned 1 x 3 for 8 items; 8 x 3 (items x"),
        (traced_with_one, "takes 1 item, but not 8: the forward pass failed: RuntimeError: shape '[1, 6]' is invalid"),
        (lambda: saved(script("return torch.softmax(x[:, :2], 1)")), "forward() returned 1 x 2 for 1 item; 1 x 3"),
        (lambda: saved(script("return x.sum()")), "forward() returned a single number for 1 item"),
        (lambda: saved(script("return x, x")), "forward() returned a tuple instead of one tensor"),
        (lambda: saved(script("return x[:, :3] > 0")), "forward() returned a tensor of torch.bool"),
        (lambda: saved(script("return x[:, :3].to(torch.int64)")), "forward() returned a tensor of torch.int64"),
        (lambda: saved(script("return x[:, 9]")), "the forward pass failed: "),
    ],
)
def test_an_answer_of_the_wrong_form_is_refused_at_start(
    load: Load, artefact: Callable[[], bytes], message: str
) -> None:
    assert message in refusal(load, artefact())


def test_an_artefact_for_one_item_is_served_with_a_batch_limit_of_one(load: Load) -> None:
    forward = load(traced_with_one(), max_batch_size=1)
    assert len(forward(floats(1), "FP32", 1).probabilities) == 4 * CLASSES


@pytest.mark.parametrize("scores", ["x[:, :3] * 10 - 4", "torch.sigmoid(x[:, :3])", "x[:, :3] / x[:, :3].norm()"])
def test_probabilities_that_do_not_sum_to_one_are_refused_at_start(load: Load, scores: str) -> None:
    message = refusal(load, f"return {scores}")
    assert "output.kind is 'probabilities', but forward() returns rows that sum to" in message
    assert "for raw scores say 'logits'" in message


@pytest.mark.parametrize("body", ["return torch.log(-x[:, :3] - 1)", "return x[:, :3] / torch.zeros(1)"])
@pytest.mark.parametrize("kind", ["probabilities", "logits"])
def test_what_is_not_finite_is_refused_at_start(load: Load, body: str, kind: str) -> None:
    assert "for valid input" in refusal(load, body, kind=kind)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_probabilities_of_another_precision_become_float32_that_sum_to_one(load: Load, dtype: str) -> None:
    answers = load(f"return torch.softmax(x[:, :3] * 5, 1).to(torch.{dtype})")(floats(16), "FP32", 16)
    rows = np.frombuffer(answers.probabilities, np.float32).reshape(16, CLASSES)
    assert np.allclose(rows.sum(1), 1, atol=1e-6)
    assert np.array_equal(rows.argmax(1), np.frombuffer(answers.classes, np.uint32))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_softmax_of_logits_is_made_in_float32(load: Load, dtype: str) -> None:
    answers = load(f"return (x[:, :3] * 8 + 60000).to(torch.{dtype})", kind="logits")(floats(16), "FP32", 16)
    assert np.allclose(np.frombuffer(answers.probabilities, np.float32).reshape(16, CLASSES).sum(1), 1, atol=1e-6)


def test_answers_are_those_of_each_batch_in_one_session_and_out_of_it(load: Load) -> None:
    # 6 floats an item: 4000 items are more than what is copied into memory that stays.
    forward = load(GOOD, max_batch_size=4096)
    data = floats(4000)
    whole = forward(data, "FP32", 4000)
    with forward.session():
        first, second = forward(data[:24], "FP32", 1), forward(data[24:48], "FP32", 1)
        inside = forward(data, "FP32", 4000)
    row = 4 * CLASSES
    assert first.probabilities == whole.probabilities[:row]
    assert second.probabilities == whole.probabilities[row : 2 * row]
    assert inside.probabilities == whole.probabilities
    assert not torch.is_inference_mode_enabled()


def test_rows_that_are_not_finite_are_named(load: Load) -> None:
    forward = load("return torch.softmax(torch.where(x[:, 5:] > 1.5, x[:, :3] / 0.0 * 0.0, x[:, :3]), 1)")
    batch = np.random.default_rng(1).random((4, 6), np.float32)
    batch[2, 5] = 2
    assert forward(batch.tobytes(), "FP32", 4).not_finite == (2,)


def test_an_answer_of_the_wrong_size_is_an_error_later_too(load: Load) -> None:
    forward = load(f"if bool((x[:, 5] > 1.5).any()):\n    x = x[:1]\n{GOOD}")
    batch = np.ones((4, 6), np.float32)
    batch[2, 5] = 2
    with pytest.raises(InferenceError, match="forward\\(\\) returned 1 x 3 for 4 items; 4 x 3"):
        forward(batch.tobytes(), "FP32", 4)


def test_an_artefact_that_refuses_some_inputs_is_served(load: Load) -> None:
    forward = load(f"if bool((x > 0.01).any()):\n    raise ValueError('only zeros')\n{GOOD}")
    assert forward(bytes(24 * 3), "FP32", 3).not_finite == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:1000], "is not a TorchScript file"),
        (lambda _: b"\x80\x04K\x01.", "is not a TorchScript file"),
        (lambda _: b"", None),
        (lambda data: data[:1500] + bytes([data[1500] ^ 1]) + data[1501:], None),
    ],
    ids=["truncated", "pickle", "empty", "bit flip"],
)
def test_another_file_in_its_place_is_refused_in_one_line(
    tmp_path: Path, change: Callable[[bytes], bytes], message: str | None
) -> None:
    """Whether the manifest was made for it or for the right one."""
    good = saved(script(GOOD))
    folder = write_model(tmp_path, good) / "odd" / "1"
    version = read_manifest(folder)
    (folder / "fp32.pt").write_bytes(change(good))
    with pytest.raises(ArtefactError, match=r"fp32\.pt: is corrupt: "):
        Forward(version, version.variants["fp32"], 1, 4)
    if message is not None:
        again = read_manifest(write_model(tmp_path / "again", change(good)) / "odd" / "1")
        with pytest.raises(ArtefactError, match=message) as caught:
            Forward(again, again.variants["fp32"], 1, 4)
        assert "\n" not in caught.value.message


@pytest.mark.parametrize("swap", [os.replace, shutil.copyfile], ids=["another file", "the same file, rewritten"])
def test_what_is_loaded_is_what_was_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swap: Callable[[Path, Path], object]
) -> None:
    """Swapped between the two: what the file holds from then on is never looked at."""
    folder = write_model(tmp_path, saved(script(GOOD))) / "odd" / "1"
    version = read_manifest(folder)
    expected = Forward(version, version.variants["fp32"], 1, 4)(floats(4), "FP32", 4)
    sha256, swaps = hashlib.sha256, []

    def hashed_and_then_swapped(data: bytes) -> Any:
        found = sha256(data)
        (tmp_path / "evil.pt").write_bytes(saved(script("return torch.softmax(-x[:, :3] * 5, 1)")))
        swaps.append(swap(tmp_path / "evil.pt", folder / "fp32.pt"))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "sha256", hashed_and_then_swapped)
        forward = Forward(version, version.variants["fp32"], 1, 4)
    assert len(swaps) == 1
    assert forward(floats(4), "FP32", 4).probabilities == expected.probabilities
    with pytest.raises(ArtefactError, match="is corrupt"):
        Forward(version, version.variants["fp32"], 1, 4)


def test_torch_s_pages_of_text_become_one_line(tmp_path: Path, load: Load) -> None:
    file = tmp_path / "weights.pt"
    torch.save({"weights": torch.zeros(3)}, file)
    assert "is not a TorchScript file that torch" in refusal(load, file.read_bytes())


def test_constants_that_name_a_device_that_is_not_here_are_one_line(load: Load) -> None:
    body = "y = torch.zeros([x.size(0), 3], device=torch.device('cuda:0'))\nreturn torch.softmax(x[:, :3] + y, 1)"
    assert "the forward pass failed: " in refusal(load, body)


def test_an_engine_that_torch_does_not_have_is_named() -> None:
    with pytest.raises(ArtefactError, match="engine 'tensorcore' is not in this build of torch, which has: "):
        configure_torch("tensorcore", 1)


def test_a_batch_of_more_than_a_gibibyte_is_refused(tmp_path: Path) -> None:
    version = read_manifest(write_model(tmp_path, saved(script(GOOD))) / "odd" / "1")
    large = replace(version, item_shape=(1 << 20,))
    with pytest.raises(ArtefactError, match=r"max_batch_size: 300 items of 4194304 bytes .*; 256 is allowed"):
        Forward(large, large.variants["fp32"], 1, 300)


def test_a_runtime_tells_what_it_runs(load: Load) -> None:
    facts = load("return torch.softmax(torch.matmul(x, x.t())[:, :1] * torch.zeros(3) + x[:, :3], 1)").facts.runtime
    assert (facts.format, facts.library, facts.version) == ("torchscript", "torch", str(torch.__version__))
    assert facts.kernels == {"aten::matmul": 1}
