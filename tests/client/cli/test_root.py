"""The root of the command line: what it finds, what it says when something is missing, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

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
    program += "print([name for name in ('torch', 'locust', 'scipy', 'PIL', 'numpy', 'grpc') if name in sys.modules])"
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


#: Runs the command line with one command more, ``fail``, that ends as the argument says.
FAILING = """
import sys, typer
from twinserve_client.cli import root
from twinserve_client.cli.main import main

app = typer.Typer()

@app.command()
def fail(what: str) -> None:
    if what == "bug":
        {}["a key that is [/not] there"]
    if what == "disk":
        raise OSError(28, "No space left on device", "/data/x")
    if what == "exit":
        raise SystemExit(1)
    if what == "pipe":
        from rich.console import Console
        for _ in range(100_000):
            Console().print("a line")
    if what == "signs":
        print("25 \\u00b5s \\u2192 \\u2212\\u2603")

command = typer.main.get_command(app)
command.name = "fail"
known = root.Commands.__init__
def with_one_more(self):
    known(self)
    self._points["fail"] = None
    self._loaded["fail"] = command
root.Commands.__init__ = with_one_more
main()
"""


def failing(what: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``twinserve fail WHAT``."""
    defaults = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 60}
    return subprocess.run([sys.executable, "-c", FAILING, "fail", what], check=False, **{**defaults, **options})


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("bug", "twinserve fail: unexpected failure: KeyError: 'a key that is [/not] there'; details are in "),
        ("disk", "twinserve fail: unexpected failure: system error: [Errno 28] No space left on device: '/data/x'; "),
    ],
)
def test_what_nobody_expected_is_one_line_and_no_verdict(tmp_path: Path, what: str, said: str) -> None:
    done = failing(what, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 3  # of `compare`, 1 would be DO NOT SHIP
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    (kept,) = tmp_path.iterdir()
    assert str(kept) in done.stderr
    assert "Traceback" in kept.read_text()


def test_a_command_that_ends_the_interpreter_has_no_verdict_either() -> None:
    assert failing("exit").returncode == 3


def test_a_reader_that_leaves_is_no_verdict() -> None:
    read, write = os.pipe()
    os.close(read)
    done = failing("pipe", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (3, "")


def test_an_output_that_takes_no_more_is_said() -> None:
    with Path("/dev/full").open("w") as full:
        done = failing("signs", stdout=full)
    assert done.returncode == 3
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_output_in_ascii_shows_what_it_can() -> None:
    done = failing("signs", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "25 us -> -?\n", "")


def test_compare_without_its_modules_is_no_verdict() -> None:
    done = twinserve("compare", "fp32", "int8", missing=("scipy",))
    assert done.returncode == 3  # 2 would be NOT ENOUGH EVIDENCE
    assert "pip install 'twinserve[loadtest]'" in done.stderr
