"""The systemd unit: systemd takes it, and finds little that the service could do beyond its work."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from deploy.manifests import DEPLOY
from twinserve_server.settings.server import ServerSettings

UNIT = DEPLOY / "systemd" / "twinserve.service"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as it would be installed: its program is there."""
    program = Path(sys.executable).with_name("twinserve")
    installed = tmp_path / UNIT.name
    installed.write_text(UNIT.read_text().replace("/opt/twinserve/bin/twinserve", str(program)))
    return installed


@pytest.mark.systemd
def test_systemd_takes_every_line(unit: Path) -> None:
    found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.systemd
def test_its_exposure_is_low(unit: Path) -> None:
    found = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout
    assert re.search(r"exposure level for twinserve.service: [\d.]+ OK", found.stdout)


def test_a_stop_leaves_time_to_drain_and_variables_are_settings() -> None:
    text = UNIT.read_text()
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text)
    assert float(parser["Service"]["TimeoutStopSec"]) > ServerSettings().grace + 10
    known = {f"TWINSERVE_{field.name.upper()}" for field in fields(ServerSettings)}
    assert set(re.findall(r"TWINSERVE_[A-Z_]+", text)) <= known
