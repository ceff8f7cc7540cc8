"""What a start refuses, and what it says: one line that names the option or the file."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from support.odd_artefacts import saved, script, write_model
from support.serve_command import one_line, run_serve
from support.server_process import ServerProcess, request
from support.tiny_model import items

Serve = Callable[..., ServerProcess]


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (None, "does not exist; name another folder, or build it with `twinserve models build --models"),
        ([], "(it is empty); name another folder, or build models there with"),
        (["app/", "notes.txt"], "(found: app/, notes.txt); name another folder"),
    ],
)
def test_a_named_folder_without_models_is_an_error_and_stays_as_it_was(
    tmp_path: Path, entries: list[str] | None, found: str
) -> None:
    folder = tmp_path / "typo"
    for name in entries or []:
        (folder / name).mkdir(parents=True) if name.endswith("/") else (folder / name).touch()
    if entries == []:
        folder.mkdir()
    ended = run_serve("--models", str(folder))
    assert ended.returncode == 1
    assert found in one_line(ended.stderr)
    assert folder.exists() == (entries is not None)
    assert sorted(path.name for path in tmp_path.glob("typo/*")) == [name.rstrip("/") for name in entries or []]


def test_a_models_folder_of_somebody_else_is_not_built_into(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "user.py").touch()
    ended = run_serve(folder=tmp_path)
    assert ended.returncode == 1
    assert "model folder models: holds no <model>/<version>/manifest.json (found: user.py)" in one_line(ended.stderr)


def test_a_ready_file_that_cannot_be_written_is_named_before_anything_starts(tiny_models: Path, tmp_path: Path) -> None:
    for path, why in (
        (tmp_path / "missing" / "ready.json", f"there is no folder {tmp_path / 'missing'}"),
        (tmp_path, f"{tmp_path} is a folder; name a file"),
    ):
        ended = run_serve("--models", str(tiny_models), "--ready-file", str(path))
        assert ended.returncode == 2
        assert "--ready-file:" in ended.stderr
        assert why in one_line(ended.stderr)
        assert "model_ready" not in ended.stderr


@pytest.mark.parametrize("option", ["--port", "--metrics-port"])
def test_a_used_port_is_named(tiny_models: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run_serve("--models", str(tiny_models), option, str(port))
    assert ended.returncode == 2
    assert f"{option}: cannot listen on 127.0.0.1:{port} (Address already in use)" in one_line(ended.stderr)


@pytest.mark.parametrize("option", ["--port", "--metrics-port"])
def test_a_second_server_on_a_port_says_so_and_the_first_one_serves_on(
    tiny_models: Path, serve: Serve, option: str
) -> None:
    first = serve(tiny_models, "--gateways", "1")
    port = {"--port": first.grpc_port, "--metrics-port": first.metrics_port}[option]
    ended = run_serve("--models", str(tiny_models), option, str(port))
    assert ended.returncode == 2
    assert f"{option}: cannot listen on 127.0.0.1:{port} (Address already in use)" in one_line(ended.stderr)
    assert first.predict.Predict(request(items(1)), timeout=30).classes
    assert first.metric("twinserve_process_restarts_total") == 0


def test_a_corrupt_artefact_is_named(tiny_models: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_models, tmp_path / "models")
    artefact = tmp_path / "models" / "tiny" / "1" / "int8.onnx"
    artefact.write_bytes(artefact.read_bytes()[:-7])
    ended = run_serve("--models", str(tmp_path / "models"))
    assert ended.returncode == 1
    assert "int8.onnx: is corrupt:" in one_line(ended.stderr)


def test_an_artefact_that_does_not_fit_its_manifest_is_named(tiny_models: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_models, tmp_path / "models")
    path = tmp_path / "models" / "tiny" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["output"]["labels"].append("fox")
    path.write_text(json.dumps(manifest))
    ended = run_serve("--models", str(tmp_path / "models"))
    assert ended.returncode == 1
    assert "forward() returned 1 x 5 for 1 item; 1 x 6 (items x classes) is expected" in one_line(ended.stderr)


def test_an_artefact_that_cannot_be_served_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    """One of many that ``model/test_forward`` refuses."""
    ended = run_serve("--models", str(write_model(tmp_path / "models", saved(script("return x[:1, :3].softmax(1)")))))
    assert ended.returncode == 1
    assert "takes 1 item, but not 8: forward() returned 1 x 3 for 8 items" in one_line(ended.stderr)
    assert "Traceback" not in ended.stderr
    assert "process_ended" not in ended.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--split", "int4=0.1"], "--split: no variant 'int4'; available: fp32, int8"),
        (["--split", "int8=1.5"], "--split: int8=1.5: a share must be within 0..1"),
        (["--split", "int8"], "write VARIANT=VALUE"),
        (["--preferred-batch-sizes", "a"], "--preferred-batch-sizes: 'a' is not a whole number"),
        (["--replicas", "int8=0"], "int8=0: 1..64 replicas are allowed"),
        (["--gateways", "-1"], "--gateways: Input should be greater than or equal to 0 (given: -1)"),
        (["--transport", "carrier-pigeon"], "--transport: Input should be 'auto', 'aio', 'fast' or 'native'"),
        (["--default-model", "other"], "--default-model: no model 'other'; available: tiny"),
    ],
)
def test_a_wrong_flag_is_named_with_its_value(tiny_models: Path, flags: list[str], message: str) -> None:
    ended = run_serve("--models", str(tiny_models), *flags)
    assert ended.returncode == 2
    assert message in one_line(ended.stderr)
    assert "Traceback" not in ended.stderr


def test_the_plan_is_explained_without_serving(tiny_models: Path) -> None:
    ended = run_serve("--models", str(tiny_models), "--explain-plan", "--gateways", "3", "--replicas", "int8=2")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("3 gateways on ")
    assert [line.split(":")[0] for line in lines[1:3]] == [
        "1 model process of tiny/fp32",
        "2 model processes of tiny/int8",
    ]
    assert "gRPC" not in ended.stderr


def test_every_option_may_stand_in_the_environment(
    tiny_models: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINSERVE_VARIANTS", "int8")
    monkeypatch.setenv("TWINSERVE_REPLICAS", "int8=2")
    monkeypatch.setenv("TWINSERVE_GATEWAYS", "1")
    server = serve(tiny_models)
    names = {process.name for process in server.processes()}
    assert names == {"gateway-0", "tiny-int8-0", "tiny-int8-1"}
