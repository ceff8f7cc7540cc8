"""The results of a run in one file, renewed as the run goes on: what was measured outlasts whatever fails later."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from twinserve_bench.h2load import LoadError
from twinserve_host.files import FileError, check_writable, rescue_file, write_file

#: What may end a run before its time; all else is a fault of the benchmark's own.
FAILURES: Final = (LoadError, RuntimeError, OSError, subprocess.SubprocessError, FileError)
CTRL_C: Final = 130


class Results:
    """One JSON file, written whole each time."""

    def __init__(self, folder: Path, name: str, console: Console, found: Callable[[], dict[str, Any]]) -> None:
        """``folder/name-<time>.json`` will hold what ``found`` returns; what goes wrong is told on ``console``.

        Raises:
            FileError: it cannot be written, which is better known before an hour of measuring.
        """
        self._path = folder / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
        self._console, self._found = console, found
        check_writable(self._path)

    def keep(self) -> None:
        """Write what was found so far; into the temporary folder from then on, should the disk be full.

        Raises:
            FileError: it cannot be written there either.
        """
        text = json.dumps(self._found(), indent=1, default=str)
        try:
            write_file(self._path, text)
        except FileError as error:
            self._console.print(f"warning: {error}", style="yellow", markup=False)
            self._path = rescue_file(self._path, text)

    def run(self, measure: Callable[[], None], show: Callable[[], None]) -> int:
        """Measure; then show and keep what there is, also when the run fails, or is stopped by Ctrl-C or SIGTERM.

        Args:
            measure: calls :meth:`keep` after each round.
            show: prints the tables.

        Returns:
            The exit code: 0; 1 when the run failed, 130 when it was stopped by Ctrl-C.
        """
        # Stopped from outside, the servers must end, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        code = 0
        try:
            measure()
        except FAILURES as error:
            self._console.print(f"error: {error}", style="red", markup=False)
            code = 1
        except KeyboardInterrupt:
            self._console.print("stopped; what was measured until then:", style="yellow")
            code = CTRL_C
        finally:
            show()
            self.keep()
            self._console.print(f"kept in {self._path}", markup=False, soft_wrap=True)
        return code
