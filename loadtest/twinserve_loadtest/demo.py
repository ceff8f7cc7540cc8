"""The demo: runs the other commands in sequence against a server that it starts and stops."""

from __future__ import annotations

import signal
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from twinserve_client.cli.main import INTERRUPTED, UNEXPECTED
from twinserve_host.files import FileError, check_writable
from twinserve_loadtest.loadtest.command import LoadTestError, Order, exit_code, run_load_test
from twinserve_loadtest.loadtest.plan import LoadSettings
from twinserve_loadtest.record.measurement import Record
from twinserve_loadtest.record.testset import FILE_NAME
from twinserve_loadtest.target.managed import ManagedServer, ServerStartError

MODEL = "mnist"
PARTS = 5
BENCH_REPEATS = "2"
"""Half a minute on two cores; `twinserve models bench` alone takes three."""
SLOW_BUILD_SECONDS = 150.0
"""Where building takes longer, the models alone are timed once only: the demo is to be done within ten minutes."""


class PartError(Exception):
    """A part of the demo failed, and has printed why."""

    def __init__(self, name: str, exit_code: int) -> None:
        super().__init__(f"`{name}` failed with exit code {exit_code}")
        self.exit_code = exit_code


@dataclass(slots=True)
class Demo:
    """One run of the demo; see ``twinserve demo --help``."""

    models: Path
    reports: Path
    data: Path | None
    duration: float | None
    seed: int
    full: bool = False

    def run(self) -> int:
        """All parts; the exit code. However it ends, nothing is left running."""
        console = Console()
        began = time.monotonic()
        signals: list[int] = []

        def interrupt(number: int, _: object) -> NoReturn:
            signals.append(number)
            raise KeyboardInterrupt(f"signal {number}")

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Whoever starts it in the background of a script keeps SIGINT from it.
            if number != signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, interrupt)
        try:
            record = self._parts(console)
        except KeyboardInterrupt:
            return _interrupted(console)
        except (PartError, LoadTestError) as error:
            console.print(f"Error: {error}", style="red", highlight=False, markup=False)
            return error.exit_code
        except ServerStartError as error:
            console.print(f"Error: {error}", style="red", highlight=False, markup=False)
            return 1
        except FileError as error:
            console.print(f"Error: {error}", style="red", highlight=False, markup=False)
            return UNEXPECTED
        except Exception:
            # Libraries in C may turn the signal's exception into one of their own, as pydantic does.
            if not signals:
                raise
            return _interrupted(console)
        console.print(f"\n{time.monotonic() - began:.0f} s in all.", style="dim", highlight=False)
        return exit_code(record)

    def _parts(self, console: Console) -> Record:
        bench, loads, page = (self.reports / name for name in ("bench.json", "loadtest.json", "report.html"))
        for path in (bench, loads, page, self.reports / "plots" / "size.svg"):
            try:
                check_writable(path)
            except FileError as error:
                raise LoadTestError(f"{error} with --reports", 2) from None
        _begin(console, 1, "models")
        began = time.monotonic()
        built = self._manifests()
        if built and not (self.full and any('"reduced"' in manifest for manifest in built)):
            console.print(f"{self.models / MODEL} exists; to build it again, remove it.", highlight=False)
        else:
            data = ["--data", str(self.data)] if self.data else []
            _twinserve(
                "models", "build", "--models", str(self.models), *data, *(["--full", "--force"] if self.full else [])
            )
        slow = time.monotonic() - began > SLOW_BUILD_SECONDS
        _begin(console, 2, "the models alone, without a server")
        plots = ["--json", str(bench), "--plots", str(self.reports / "plots")]
        _twinserve("models", "bench", "--models", str(self.models), "--repeats", "1" if slow else BENCH_REPEATS, *plots)
        _begin(console, 3, "serve")
        with ManagedServer([_program(), "serve", "--models", str(self.models)], self.reports / "server.log") as server:
            console.print(f"serving at {server.address.target}, metrics at {server.address.metrics_url}/metrics")
            _begin(console, 4, "load")
            record = run_load_test(self._order(server, loads), console)
            if exit_code(record) == INTERRUPTED:
                raise KeyboardInterrupt
        _begin(console, 5, "report")
        test_set = str(self.models / MODEL)
        # The last lines on the terminal are the report's table and its sentence.
        _twinserve("report", str(loads), str(bench), "--output", str(page), "--test-set", test_set)
        return record

    def _manifests(self) -> list[str]:
        """The manifests of what is there to be served and tested."""
        folder = self.models / MODEL
        if not (folder / FILE_NAME).is_file():
            return []
        return [path.read_text("utf-8", errors="replace") for path in folder.glob("*/manifest.json")]

    def _order(self, server: ManagedServer, output: Path) -> Order:
        return Order(
            settings=LoadSettings(duration=self.duration, seed=self.seed),
            target=server.address.target,
            metrics_urls=[server.address.metrics_url],
            model=None,
            variants=None,
            models=self.models,
            data=None,
            images=None,
            output=output,
            command=f"twinserve demo --models {self.models} --reports {self.reports} --seed {self.seed}",
        )


def _begin(console: Console, number: int, title: str) -> None:
    console.print()
    console.rule(f"{number} of {PARTS}: {title}", align="left")


def _program() -> str:
    """The command line that was installed with this interpreter."""
    return str(Path(sysconfig.get_path("scripts")) / "twinserve")


def _twinserve(*arguments: str) -> None:
    """Run a sub-command on this terminal.

    Raises:
        PartError: it failed; the text that says why is on the terminal.
    """
    sys.stdout.flush()
    process = subprocess.Popen([_program(), *arguments])
    try:
        code = process.wait()
    except BaseException:
        # Ctrl-C has reached it as well, in our process group. Anything else ends it here.
        process.terminate()
        process.wait()
        raise
    if code != 0:
        raise PartError(f"twinserve {' '.join(arguments[:2])}", code)


def _interrupted(console: Console) -> int:
    console.print("\nInterrupted; nothing is left running.", style="red")
    return INTERRUPTED
