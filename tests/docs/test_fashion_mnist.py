"""docs/fashion-mnist.md as it is written, on a part of the images and with less time to measure."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.short_comparison import shorten_comparisons
from twinserve_client.cli.root import app

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "fashion-mnist.md"
INSTALLED = "/usr/share/datasets/fashion-mnist"
#: Images of each part that are used.
TRAIN, TEST = 1000, 200
#: With so little time no verdict is wrong: it may not have enough evidence.
VERDICTS = (0, 1, 2)


def shorten(source: Path, target: Path, count: int) -> None:
    """The first items of a gzipped IDX file."""
    data = gzip.decompress(source.read_bytes())
    dimensions = data[3]
    header = 4 + 4 * dimensions
    items = int.from_bytes(data[4:8], "big")
    item = (len(data) - header) // items
    head = data[:4] + count.to_bytes(4, "big") + data[8:header]
    target.write_bytes(gzip.compress(head + data[header : header + count * item], 1))


@pytest.mark.fashion
@pytest.mark.timeout(600)
def test_from_training_to_verdict_without_touching_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shorten_comparisons(monkeypatch)
    images = tmp_path / "fashion"
    images.mkdir()
    for source in Path(INSTALLED).glob("*.gz"):
        shorten(source, images / source.name, TRAIN if source.name.startswith("train") else TEST)
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("twinserve ")]
    assert [shlex.split(command)[1] for command in commands] == ["models", "models", "models", "compare"]
    for command in commands:
        words = shlex.split(command.replace(INSTALLED, str(images)))[1:]
        if words[0] == "compare":
            compared = CliRunner().invoke(app, [*words, "--output", "compare.json"])
            assert compared.exit_code in VERDICTS, compared.output
            continue
        # In processes of their own, which give back what torch holds.
        ran = subprocess.run(
            [sys.executable, "-m", "twinserve_client.cli.main", *words],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ran.returncode == 0, (words, ran.stdout, ran.stderr)
    manifest = json.loads((tmp_path / "models/fashion-mnist/1/manifest.json").read_text())
    assert manifest["output"]["labels"][:2] == ["T-shirt", "Trouser"]
    assert manifest["dataset"]["name"] == "fashion-mnist"
    right = {name: entry["accuracy"]["correct"] / TEST for name, entry in manifest["variants"].items()}
    assert right["fp32"] > 0.6
    assert abs(right["int8"] - right["fp32"]) < 0.03
    assert (tmp_path / "fashion-layers.svg").stat().st_size > 10_000
    assert (tmp_path / "compare.json").is_file()
