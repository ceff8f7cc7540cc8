"""The README keeps its word: its example runs as written, its commands and links exist."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.server_process import ServerProcess
from support.tiny_model import make_tiny_models

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = "\n".join(re.findall(r"```\n(.*?)```", README, re.DOTALL))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_example_runs_as_written(tmp_path: Path, serve: Callable[..., ServerProcess]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    server = serve(make_tiny_models(tmp_path / "models", model="mnist", item=(28, 28)))
    code = example.replace("127.0.0.1:8500", server.target)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"^fp32 .*\n  inference \d+ µs of \d+ µs\nint8 ", ran.stdout)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^make ([a-z-]+)", BLOCKS, re.MULTILINE))))
def test_every_make_target_exists(command: str) -> None:
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^twinserve ([a-z]+)", BLOCKS, re.MULTILINE))))
def test_every_command_has_help(command: str) -> None:
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("twinserve")), command, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Usage" in ran.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []
