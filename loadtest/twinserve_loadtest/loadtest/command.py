"""What ``twinserve loadtest`` does once its options are parsed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from twinserve_client.cli.main import INTERRUPTED
from twinserve_host.files import FileError, check_writable, scratch_folder
from twinserve_host.functions import FunctionError
from twinserve_loadtest.generate.generator import GeneratorError, LoadGenerator
from twinserve_loadtest.loadtest.quality import QualityCheck
from twinserve_loadtest.loadtest.runner import LoadTest
from twinserve_loadtest.record.files import save_record
from twinserve_loadtest.record.run import Remark
from twinserve_loadtest.record.testset import TestSetError, fit_to_model, load_test_set
from twinserve_loadtest.statistics.quality import QualityTest
from twinserve_loadtest.target.describe import check_versions, describe_target, with_memory
from twinserve_loadtest.target.energy import energy_meter
from twinserve_loadtest.target.error import TargetError
from twinserve_loadtest.target.processes import count_processes, cpu_clock
from twinserve_loadtest.target.servers import metrics_of, servers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_client import TLS
    from twinserve_loadtest.generate.spec import BlockSpec
    from twinserve_loadtest.loadtest.plan import LoadSettings
    from twinserve_loadtest.record.measurement import Model, Record
    from twinserve_loadtest.record.testset import TestSet
    from twinserve_loadtest.target.cpu_clock import CpuClock
    from twinserve_loadtest.target.servers import Servers

QUIET_SECONDS = 0.5
"""How long the machine is watched before the load begins, and after its end."""


@dataclass(frozen=True, slots=True)
class Order:
    """The parsed command line."""

    settings: LoadSettings
    target: str
    metrics_urls: Sequence[str]
    model: str | None
    variants: list[str] | None
    models: Path
    data: Path | None
    images: int | None
    output: Path
    command: str
    tls: TLS | None = None


class LoadTestError(Exception):
    """The test could not start, or its generator failed; the message says why."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run_load_test(order: Order, err: Console) -> Record:
    """Run the test and write the results, including partial ones if it is interrupted or the server fails.

    Raises:
        LoadTestError: there are no results.
        FileError: they could not be written where they should be; the message says where they are.
    """
    try:
        check_writable(order.output)
    except FileError as error:
        raise LoadTestError(f"{error} with --output", 2) from None
    try:
        servers = servers_of(order.target, order.tls)
        metrics_urls = metrics_of(servers, order.metrics_urls)
        model, most_images = describe_target(servers, order.model, order.variants)
        check_versions(metrics_urls)
        test_set = _test_set(order, model, most_images)
        # Read once now: a server that dies under the load reports nothing afterwards.
        model, unread = with_memory(model, metrics_urls) if metrics_urls else (model, None)
    except (TargetError, TestSetError) as error:
        raise LoadTestError(str(error), 2) from None
    if unread:
        err.print(f"Caveat: {unread}", style="yellow", highlight=False, markup=False)
    err.print(f"Load test of {model.name} at {order.target}: {_about(test_set)}", highlight=False, markup=False)
    with scratch_folder("twinserve-answers-") as scratch:
        try:
            quality = QualityTest.of(model.metric, test_set.targets) if model.metric and test_set.targets else None
            check = None if quality is None else QualityCheck(quality, scratch)
            processes = count_processes(servers, model, metrics_urls)
            clock = cpu_clock(servers, model, metrics_urls)
            test = _run(order, servers, model, test_set, check, clock, err)
        except FunctionError as error:
            raise LoadTestError(f"the manifest's metric: {error}", 2) from None
        except GeneratorError as error:
            raise LoadTestError(str(error), 1) from None
        record = _record(order, servers, metrics_urls, processes, model, test, test_set, unread)
    place, problem = save_record(record, order.output)
    if problem:
        raise FileError(f"{problem}; the raw results are in {place}")
    return record


def _record(
    order: Order,
    servers: Servers,
    metrics_urls: Sequence[str],
    processes: dict[str, int],
    model: Model,
    test: LoadTest,
    test_set: TestSet,
    unread: str | None,
) -> Record:
    if metrics_urls:
        model, still_unread = with_memory(model, metrics_urls)
        unread = unread and still_unread
    caveats = [Remark("metrics", f"{unread[0].upper()}{unread[1:]}.", "costs")] if unread else []
    if model.metric and not test_set.targets:
        text = "The test set has no expected outputs, so the quality of the answers is unknown."
        caveats.append(Remark("quality", text, "accuracy"))
    return test.record(
        command=order.command,
        servers=servers,
        model=model,
        metrics_urls=metrics_urls,
        processes=processes,
        caveats=caveats,
    )


def exit_code(record: Record) -> int:
    """0: complete; 1: something is missing; 130: Ctrl-C ended the test."""
    if record.complete:
        return 0
    return INTERRUPTED if record.interrupted() else 1


def _run(
    order: Order,
    servers: Servers,
    model: Model,
    test_set: TestSet,
    quality: QualityCheck | None,
    clock: CpuClock,
    err: Console,
) -> LoadTest:
    with (
        LoadGenerator(servers, test_set, model=order.model) as generator,
        energy_meter(here=all(server.on_this_machine for server in servers)) as energy,
        _Bar(err) as bar,
    ):
        quiet = psutil.cpu_percent(QUIET_SECONDS) / 100
        variants = list(model.variants)
        test = LoadTest(
            order.settings,
            variants,
            test_set.info,
            generator,
            bar,
            cpu=clock,
            energy=energy,
            quality=quality,
            foreign_share=quiet,
        )
        try:
            test.run()
            test.foreign_share = max(quiet, psutil.cpu_percent(QUIET_SECONDS) / 100)
        except KeyboardInterrupt:
            test.interrupted = True
    return test


def _test_set(order: Order, model: Model, most_images: int) -> TestSet:
    test_set = fit_to_model(load_test_set(order.data or order.models / model.name), model)
    if order.settings.batch > most_images:
        raise TargetError(
            f"--batch is {order.settings.batch}; the server takes at most {most_images} images per request"
        )
    return test_set.head(order.images or len(test_set))


def _about(test_set: TestSet) -> str:
    info = test_set.info
    return f"{info.images:,} images of {info.name} ({info.source})" + ("" if info.full else ", NOT the full test set")


class _Bar:
    """Progress on the terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("starting the generator", total=None, detail="")
        self._number = 1

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def block_begins(self, spec: BlockSpec, number: int, total: int | None) -> None:
        rate = f" at {spec.rate:,.0f}/s" if spec.rate is not None else ""
        text = f"{number}{f'/{total}' if total else ''} {spec.mode} {spec.variant or ''}{rate}"
        self._number = number
        self._progress.update(self._task, description=text, total=total, completed=number - 1, detail="")

    def block_goes_on(self, requests: int, seconds: float) -> None:
        self._progress.update(self._task, detail=f"{requests:,} requests, {seconds:.1f} s")
