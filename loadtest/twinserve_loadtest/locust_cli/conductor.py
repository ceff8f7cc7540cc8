"""Conducts a whole load test inside a Locust master or single process: starts, stops, writes the results."""

from __future__ import annotations

import logging
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import gevent
import psutil
from rich.console import Console

from twinserve_client.cli.main import UNEXPECTED
from twinserve_host.files import FileError, check_writable
from twinserve_host.functions import FunctionError
from twinserve_loadtest.generate.record import merged
from twinserve_loadtest.generate.session import session_of
from twinserve_loadtest.loadtest.plan import DEFAULT_USERS, LoadSettings
from twinserve_loadtest.loadtest.quality import QualityCheck
from twinserve_loadtest.loadtest.runner import LoadTest
from twinserve_loadtest.loadtest.summarise import summarise
from twinserve_loadtest.locust_cli.distributed import LocustBlocks
from twinserve_loadtest.record.files import save_record
from twinserve_loadtest.record.run import Remark
from twinserve_loadtest.record.testset import TestSetError
from twinserve_loadtest.report import document_of
from twinserve_loadtest.report.terminal import print_document
from twinserve_loadtest.statistics.quality import QualityTest
from twinserve_loadtest.target.describe import describe_target
from twinserve_loadtest.target.error import TargetError

if TYPE_CHECKING:
    from gevent import Greenlet
    from locust.env import Environment

    from twinserve_loadtest.generate.record import BlockRecord
    from twinserve_loadtest.generate.spec import BlockSpec
    from twinserve_loadtest.record.measurement import Model, Record
    from twinserve_loadtest.record.run import Arm
    from twinserve_loadtest.target.servers import Servers

logger = logging.getLogger(__name__)

END_SECONDS = 5.0
QUIET_SECONDS = 0.5
"""How long the machine is watched before the load begins, and after its end."""


@dataclass(slots=True)
class Conductor:
    """One per Locust master or single process.

    Args:
        environment: Locust's; its parsed options say what to do.
    """

    environment: Environment
    blocks: LocustBlocks
    test: LoadTest | None = None
    model: Model | None = None
    results: Record | None = None
    """Of the last test that ended."""
    begun: bool = False
    """A test was begun whose end the load shape has not told Locust yet."""
    now: str = "idle"
    """What is going on, in words."""
    _greenlet: Greenlet | None = None

    @property
    def running(self) -> bool:
        """A test is on."""
        return self._greenlet is not None and not self._greenlet.ready()

    @property
    def options(self) -> Any:
        """Locust's command line."""
        return self.environment.parsed_options

    def begin(self) -> None:
        """Start a test as the options say; what is wrong with them is logged and no test runs."""
        self.begun, self.blocks.interrupted, self.blocks.wanted_users = True, False, 1
        self.test = self.results = None
        self._greenlet = gevent.spawn(self._conduct)

    def interrupt(self) -> None:
        """Cut the test off; its results so far are kept."""
        self.blocks.interrupted = True
        if self._greenlet is not None:
            self._greenlet.join(END_SECONDS)
        self.begun = False

    def live(self) -> dict[str, dict[str, Arm]]:
        """By scenario and variant: everything counted so far, the block that is on included."""
        test, model = self.test, self.model
        if test is None or model is None:
            return {}
        groups: dict[str, list[BlockRecord]] = {mode: list(records) for mode, records in test.records.items()}
        current = self.blocks.live()
        if current is not None:
            group: str = "step" if test.settings.mode == "step" else current.spec.mode
            groups.setdefault(group, []).append(current)
        figures: dict[str, dict[str, Arm]] = {}
        for mode, records in groups.items():
            for variant in dict.fromkeys(record.spec.variant for record in records):
                total = merged((record for record in records if record.spec.variant == variant), parallel=False)
                for name in total.tallies:
                    figures.setdefault(mode, {})[name] = summarise(total, name, len(model.labels))
        return figures

    def block_begins(self, spec: BlockSpec, number: int, total: int | None) -> None:
        self.now = f"block {number}{f' of {total}' if total else ''}: {spec.mode} {spec.variant or ''}".strip()
        logger.info("%s", self.now)

    def block_goes_on(self, requests: int, seconds: float) -> None:
        """Nothing: Locust shows the progress."""

    def _conduct(self) -> None:
        options = self.options
        session = session_of(self.environment)
        names = [name.strip() for name in (options.twin_variants or "").split(",") if name.strip()]
        try:
            settings = LoadSettings(
                mode=options.twin_mode,
                users=options.num_users or DEFAULT_USERS,
                rate=float(options.twin_rate),
                duration=float(options.twin_duration) if options.twin_duration else None,
                batch=int(options.twin_batch),
                seed=int(options.twin_seed),
                p99_limit_ms=float(options.twin_p99_limit_ms),
            )
            if options.twin_results:
                check_writable(Path(options.twin_results))
            self.model, _ = describe_target(session.servers, session.model, names or None)
            test_set = self.blocks.send_to(self.model)
            targets = test_set.targets if self.model.metric else {}
            quality = QualityTest.of(self.model.metric, targets) if targets and not self.blocks.distributed else None
        except (ValueError, FileError, FunctionError, TargetError, TestSetError) as error:
            logger.error("the load test cannot begin: %s", error)  # noqa: TRY400  # the text is for users
            self.environment.process_exit_code = 2
            return
        quiet = _busy_share()
        variants = list(self.model.variants)
        with TemporaryDirectory(prefix="twinserve-answers-") as scratch:
            check = None if quality is None else QualityCheck(quality, Path(scratch))
            test = self.test = LoadTest(
                settings, variants, test_set.info, self.blocks, self, quality=check, foreign_share=quiet
            )
            test.run()
            if not self.blocks.interrupted:
                test.foreign_share = max(quiet, _busy_share())
            self._finish(test, self.model, session.servers)

    def _finish(self, test: LoadTest, model: Model, servers: Servers) -> None:
        test.interrupted = self.blocks.interrupted
        caveats = []
        if model.metric and test.quality is None:
            why = "it takes one Locust process" if self.blocks.distributed else "the test set has no expected outputs"
            text = f"Nothing is known of the quality of the answers: {why}."
            caveats.append(Remark("quality", text, "accuracy"))
        self.results = record = test.record(command=shlex.join(sys.argv), servers=servers, model=model, caveats=caveats)
        self.now = "ended" if record.complete else "ended, incomplete"
        if not record.complete:
            self.environment.process_exit_code = 1
        path = Path(self.options.twin_results) if self.options.twin_results else None
        console = Console()
        print_document(document_of(record, path.name if path else "locust"), console, full=True)
        if path is not None:
            path, problem = save_record(record, path)
            if problem:
                logger.error("%s", problem)
                self.environment.process_exit_code = UNEXPECTED
            console.print(f"Raw results: {path}", highlight=False, markup=False)


def _busy_share() -> float:
    """Of all cores (0..1), over a moment."""
    psutil.cpu_percent()
    gevent.sleep(QUIET_SECONDS)
    return float(psutil.cpu_percent()) / 100
