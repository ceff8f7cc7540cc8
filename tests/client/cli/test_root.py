"""The root of the command line: what it finds, what it says when something is missing, how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from support.digit_server import Server
from twinserve_client.cli import root as cli_root

#: Runs the command line in a fresh interpreter in which some modules are not installed.
WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.partition(".")[0])

sys.meta_path.insert(0, Missing())
from twinserve_client.cli.main import main
main()
"""


def twinserve(*arguments: str, missing: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, without the modules in ``missing``."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=set(missing) or "()"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_help_lists_the_commands_on_a_users_way() -> None:
    done = twinserve("--help")
    assert done.returncode == 0
    lines = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("│ ") and line[2] != " "]
    commands = [name for name in lines if name in cli_root.ORDER]
    assert {"models", "serve", "predict", "loadtest", "report"} <= set(commands)
    assert commands == sorted(commands, key=cli_root.ORDER.index)


def test_the_version_is_told() -> None:
    done = twinserve("--version")
    assert done.stdout.startswith("twinserve 0.")
    assert done.returncode == 0


@pytest.mark.parametrize("arguments", [["nonsense"], ["predict"], ["predict", "x.png", "--top", "0"], ["--nonsense"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    done = twinserve(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_without_the_cli_extra_one_line_says_what_to_do(module: str) -> None:
    done = twinserve("predict", "x.png", missing=(module,))
    assert done.returncode == 2
    assert done.stderr.startswith("twinserve")
    assert done.stderr.count("\n") == 1
    assert module in done.stderr
    assert done.stderr.endswith("pip install 'twinserve[cli]'\n")


def test_a_command_that_misses_a_module_when_it_runs_says_which_extra_brings_it(server: Server) -> None:
    done = twinserve("predict", "x.png", "--target", server.target, missing=("PIL",))
    assert done.returncode == 2
    assert done.stderr == "twinserve predict: needs PIL: pip install 'twinserve[cli]'\n"


def test_a_command_that_cannot_be_loaded_is_listed_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other_package.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.syspath_prepend(tmp_path)
    command = cli_root.load(EntryPoint("extra", "other_package:app", cli_root.GROUP))
    assert "needs the module nowhere_to_be_found, which is not installed" in command.help
    point = EntryPoint("serve", "twinserve_server.cli:app", cli_root.GROUP)
    assert cli_root.remedy(point, "torch") == "needs torch: pip install 'twinserve[server]'"


def test_a_stub_ends_with_exit_code_2_whatever_it_is_told() -> None:
    point = EntryPoint("serve", "twinserve_server.cli:app", cli_root.GROUP)
    with pytest.raises(SystemExit) as ended:
        cli_root.stub(point, cli_root.remedy(point, "torch"))(["--port", "0", "more"])
    assert ended.value.code == 2


def test_what_an_extra_asks_for_is_read_from_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    requires = ["numpy>=1", 'pillow>=11; extra == "cli"', "no-such-thing>=1; extra == 'cli'", 'torch; extra == "x"']
    monkeypatch.setattr("importlib.metadata.requires", lambda name: requires)
    assert cli_root.absent_requirements("cli") == ["no-such-thing"]
    assert cli_root.absent_requirements(None) == []


def test_a_mistake_in_the_programs_own_imports_is_not_disguised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong_package.py").write_text("import twinserve_client.no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError):
        cli_root.load(EntryPoint("wrong", "wrong_package:app", cli_root.GROUP))


def test_help_imports_no_command_s_heavy_parts() -> None:
    program = "import sys\nfrom twinserve_client.cli.root import app\n"
    program += "from typer.testing import CliRunner\nCliRunner().invoke(app, ['--help'])\n"
    program += "print([name for name in ('torch', 'locust', 'scipy', 'matplotlib', 'PIL') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_no_arguments_show_the_help() -> None:
    result = CliRunner().invoke(cli_root.app, [])
    assert "Serve a model and its quantised twin" in result.output


def test_ctrl_c_ends_quietly_with_130(server: Server, tmp_path: Path) -> None:
    server.behaviour.holding = True
    picture = Image.new("L", (60, 60), 255)
    ImageDraw.Draw(picture).line((30, 10, 30, 50), fill=0, width=5)
    picture.save(tmp_path / "one.png")
    command = [sys.executable, "-m", "twinserve_client.cli.main", "predict", str(tmp_path / "one.png")]
    with subprocess.Popen(
        [*command, "--target", server.target, "--timeout", "60"], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 30
        while not server.behaviour.calls and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"")
