"""A setting is declared once: its flag, its variable, its help and its documentation follow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click import unstyle
from typer.testing import CliRunner

from twinserve_server.cli import app
from twinserve_server.ipc.codec import decode, encode
from twinserve_server.settings.declaration import Declared, declared
from twinserve_server.settings.read import read_settings
from twinserve_server.settings.server import ServerSettings

SCRIPT = Path(__file__).parents[3] / "deploy" / "settings_doc.py"


@pytest.fixture(scope="module")
def help_page() -> str:
    return " ".join(unstyle(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "400"}).output).split())


@pytest.mark.parametrize("entry", declared(ServerSettings), ids=lambda entry: entry.name)
def test_every_setting_has_a_flag_with_its_help_and_default(help_page: str, entry: Declared) -> None:
    assert f" {entry.flag} " in help_page
    default = f" [default: {entry.default}]" if entry.default else ""
    assert entry.help + default in help_page


def test_the_documentation_is_what_the_declarations_make() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_settings_survive_the_way_to_another_process() -> None:
    settings = read_settings({"split": "int8=0.1", "tls_cert": "a.pem", "preferred_batch_sizes": "8,16"})
    assert decode(encode(settings), ServerSettings) == settings


def test_a_process_that_is_handed_settings_does_not_load_what_validates_them() -> None:
    code = "import sys, twinserve_server.ipc.process_config; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
