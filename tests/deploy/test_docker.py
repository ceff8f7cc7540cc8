"""The images without a daemon: linted, and the steps that make and run one carried out in a folder."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from support.server_process import ServerProcess
from support.wheel import DOCKERFILE, ROOT, built_wheel


def test_the_linter_has_nothing_to_say() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(linter), str(DOCKERFILE)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_build_needs_is_in_its_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    build = {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "constraints.txt"}
    assert build | {"proto", "client", "server", "loadtest"} <= kept
    assert all((ROOT / name).exists() for name in kept)


def test_every_command_that_an_image_runs_is_one_of_ours() -> None:
    text = DOCKERFILE.read_text()
    starts = re.findall(r'ENTRYPOINT \["twinserve"(?:, "(\w+)")?\]|CMD \["twinserve", "(\w+)"\]', text)
    commands = {name for pair in starts for name in pair if name}
    assert commands == {"serve", "rest", "health"}
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "twinserve_client.cli.main", command, "--help"],
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server image's venv: made, and our wheel put into it, by the Dockerfile's own steps.

    What the wheel needs is this environment's: to fetch torch again would prove nothing.
    """
    folder = tmp_path_factory.mktemp("image")
    venv = re.search(r"&& python -m (venv) /opt/twinserve", DOCKERFILE.read_text())
    assert venv
    subprocess.run([sys.executable, "-m", venv[1], "--without-pip", str(folder / "venv")], check=True, timeout=60)
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(folder / "venv" / "bin" / "python"),
            "install",
            "--no-deps",
            str(built_wheel(tmp_path_factory)),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "venv" / "bin"


def test_what_an_image_holds_serves_and_passes_its_health_check(image: Path, tiny_models: Path, tmp_path: Path) -> None:
    options = ("--gateways", "1", "--no-build", "--log-format", "json")
    with ServerProcess(tiny_models, tmp_path, *options, program=image / "twinserve") as server:
        check = [str(image / "twinserve"), "health", "--target", server.target, "--timeout", "30"]
        done = subprocess.run(check, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (0, "the server: SERVING\n")
        live = subprocess.run([*check, "live"], capture_output=True, text=True, check=False, timeout=60)
        assert (live.returncode, live.stdout) == (0, "live: SERVING\n")
        unknown = subprocess.run([*check, "nobody"], capture_output=True, text=True, check=False, timeout=60)
        assert unknown.returncode == 1
        assert "knows no service 'nobody'" in unknown.stderr
