"""``twinserve predict`` against a running server: what it prints, and how it fails."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner, Result

from support.digit_server import LABELS, Fault, Server, class_of
from twinserve_client.cli.predict import app
from twinserve_client.pictures.read import PictureRules, read_picture


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """Three digits drawn on white."""
    files = []
    for digit in "179":
        image = Image.new("L", (120, 160), 255)
        ImageDraw.Draw(image).text((20, 10), digit, fill=0, font=ImageFont.load_default(size=100))
        image.save(tmp_path / f"{digit}.png")
        files.append(str(tmp_path / f"{digit}.png"))
    return files


def run(server: Server, *arguments: str, stdin: bytes | None = None) -> Result:
    """Run the command against ``server``."""
    return CliRunner().invoke(app, [*arguments, "--target", server.target], input=stdin, env={"COLUMNS": "160"})


def label_of(file: str) -> str:
    """What the test model says about a file."""
    return LABELS[class_of(read_picture(Path(file), PictureRules((28, 28), "L", True, True)))]


def test_it_prints_label_probability_variant_and_time(server: Server, pictures: list[str]) -> None:
    result = run(server, pictures[0], "--variant", "int8")
    assert result.exit_code == 0, result.output
    assert f"1.png  {label_of(pictures[0])}" in result.output
    assert "91.00 % ███████████████" in result.output
    assert "int8 (named) · digits version 3 · sha256 abababababab" in result.output
    assert "server 0.01 ms (queue 0.00, transfer 0.00, inference 0.00; batch of 1)" in result.output


def test_several_files_are_one_request(server: Server, pictures: list[str]) -> None:
    result = run(server, *pictures)
    assert server.behaviour.calls.count("Predict") == 1
    for file in pictures:
        assert f"{Path(file).name}  {label_of(file)}" in result.output


def test_compare_shows_every_variant(server: Server, pictures: list[str]) -> None:
    result = run(server, *pictures, "--compare")
    assert result.exit_code == 0, result.output
    assert "int8 vs fp32: 0 of 3 answers differ, probabilities by at most 0.00 points" in result.output
    assert server.behaviour.calls == ["DescribeModel", "Compare"]


def test_json_holds_every_probability(server: Server, pictures: list[str]) -> None:
    result = run(server, *pictures, "--json", "--variant", "fp32")
    (answer,) = json.loads(result.stdout)["answers"]
    assert (answer["variant"], answer["route"], answer["timing"]["batch_size"]) == ("fp32", "named", 3)
    assert [image["file"] for image in answer["images"]] == pictures
    assert [image["label"] for image in answer["images"]] == [label_of(file) for file in pictures]
    assert list(answer["images"][0]["probabilities"]) == list(LABELS)


def test_json_of_compare_holds_every_variant(server: Server, pictures: list[str]) -> None:
    result = run(server, pictures[0], "--json", "--compare")
    assert [answer["variant"] for answer in json.loads(result.stdout)["answers"]] == ["fp32", "int8"]


def test_show_draws_what_the_model_sees(server: Server, pictures: list[str]) -> None:
    result = run(server, pictures[0], "--show")
    assert "1.png as the model sees it" in result.output
    assert "████" in result.output


def test_a_picture_may_come_from_standard_input(server: Server, pictures: list[str]) -> None:
    result = run(server, "-", "--json", stdin=Path(pictures[1]).read_bytes())
    (image,) = json.loads(result.stdout)["answers"][0]["images"]
    assert image["label"] == label_of(pictures[1])


def test_a_file_that_is_no_picture_is_exit_code_2(server: Server, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("seven")
    result = run(server, str(tmp_path / "notes.txt"))
    assert result.exit_code == 2
    assert result.stderr.startswith("twinserve predict: ")
    assert "notes.txt: is not a readable picture" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "exit_code", "message"),
    [
        (grpc.StatusCode.NOT_FOUND, 2, "twinserve predict: told to fail\n"),
        (grpc.StatusCode.INVALID_ARGUMENT, 2, "twinserve predict: told to fail\n"),
        (grpc.StatusCode.INTERNAL, 1, "told to fail (INTERNAL)\n"),
    ],
)
def test_a_refusal_is_one_line(
    server: Server, pictures: list[str], code: grpc.StatusCode, exit_code: int, message: str
) -> None:
    server.behaviour.faults.append(Fault(code))
    result = run(server, pictures[0])
    assert result.exit_code == exit_code
    assert result.stderr.endswith(message)
    assert result.stderr.count("\n") == 1


def test_nobody_there_says_how_to_start_a_server(pictures: list[str]) -> None:
    result = CliRunner().invoke(app, [pictures[0], "--target", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert "no answer from 127.0.0.1:1" in result.stderr
    assert "start a server with `twinserve serve`" in result.stderr


def test_compare_and_variant_exclude_each_other(server: Server, pictures: list[str]) -> None:
    result = run(server, pictures[0], "--compare", "--variant", "int8")
    assert result.exit_code == 2
    assert "leave out --variant" in result.stderr


def test_a_missing_authority_file_is_exit_code_2(server: Server, pictures: list[str], tmp_path: Path) -> None:
    result = run(server, pictures[0], "--tls-ca", str(tmp_path / "nowhere.pem"))
    assert result.exit_code == 2
    assert "nowhere.pem cannot be read" in result.stderr


def test_a_refusal_is_retried_for_those_who_ask_for_it(server: Server, pictures: list[str]) -> None:
    busy = Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", retry_after=0.01)
    server.behaviour.faults.append(busy)
    result = run(server, pictures[0])
    assert result.exit_code == 1
    assert "busy" in result.output
    server.behaviour.faults.append(busy)
    assert run(server, pictures[0], "--retry-exhausted").exit_code == 0
