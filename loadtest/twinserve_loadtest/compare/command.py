"""What ``twinserve compare`` does once its options are parsed: server, test set, experiment, verdict, files."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from twinserve_host.cores import usable_cores
from twinserve_host.files import FileError, check_writable
from twinserve_host.functions import FunctionError
from twinserve_loadtest.compare.accuracy import TestImages
from twinserve_loadtest.compare.assemble import Surroundings, assemble
from twinserve_loadtest.compare.crossover import survey
from twinserve_loadtest.compare.experiment import Experiment
from twinserve_loadtest.compare.gates import GatesError, gates_for
from twinserve_loadtest.compare.live_blocks import LiveBlocks
from twinserve_loadtest.compare.progress import CompareProgress
from twinserve_loadtest.compare.rate_ladder import Objective, climb
from twinserve_loadtest.compare.runner import ArmUnavailableError
from twinserve_loadtest.compare.verdict import Evidence, judge_gate
from twinserve_loadtest.generate.generator import GeneratorError
from twinserve_loadtest.record.run import Remark
from twinserve_loadtest.record.stamp import cpu_times, steal_between
from twinserve_loadtest.record.testset import TestSetError, fit_to_model, load_test_set
from twinserve_loadtest.statistics.quality import QualityTest
from twinserve_loadtest.target.describe import check_versions, describe_target, with_memory
from twinserve_loadtest.target.energy import energy_meter
from twinserve_loadtest.target.error import TargetError
from twinserve_loadtest.target.local import LocalServer
from twinserve_loadtest.target.managed import ServerStartError
from twinserve_loadtest.target.processes import count_processes, cpu_clock
from twinserve_loadtest.target.servers import Server, metrics_of, servers_of
from twinserve_loadtest.target.stamp import serving_stamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from twinserve_client import TLS
    from twinserve_loadtest.compare.experiment import Extra, Measure
    from twinserve_loadtest.compare.gates import Gate
    from twinserve_loadtest.compare.measurements import ExperimentSettings, Measurements
    from twinserve_loadtest.record.blocks import Block, BlockPlan
    from twinserve_loadtest.record.measurement import Model, Record
    from twinserve_loadtest.record.run import Effect
    from twinserve_loadtest.record.terms import Section
    from twinserve_loadtest.record.testset import TestSet


class CompareError(Exception):
    """The comparison could not be made; the message says why."""


@dataclass(frozen=True, slots=True)
class CompareOrder:
    """The parsed command line."""

    settings: ExperimentSettings
    gates: Sequence[Gate]
    #: None: a server started for the comparison.
    target: str | None
    metrics_urls: Sequence[str]
    model: str | None
    models: Path
    data: Path | None
    images: int | None
    batching: bool
    objective: Objective
    as_json: bool
    output: Path
    command: str
    #: With a target: None: plain text.
    tls: TLS | None = None
    #: The model of an earlier comparison that this one continues; None: there is none.
    since_model: str | None = None


def compare(order: CompareOrder, err: Console) -> Record:
    """Measure and judge.

    Raises:
        CompareError: there is no record.
    """
    try:
        check_writable(order.output)
    except FileError as error:
        raise CompareError(f"{error} with --output") from None
    try:
        with ExitStack() as stack:
            return _compare(order, stack, err)
    except (
        FileError,
        TargetError,
        TestSetError,
        ServerStartError,
        GeneratorError,
        ArmUnavailableError,
        GatesError,
        FunctionError,
    ) as error:
        raise CompareError(str(error)) from None


def _compare(order: CompareOrder, stack: ExitStack, err: Console) -> Record:
    names = list(dict.fromkeys((order.settings.baseline, order.settings.candidate)))
    if order.target is not None:
        servers = servers_of(order.target, order.tls)
        metrics_urls = metrics_of(servers, order.metrics_urls)
    else:
        err.print(f"Starting a server with {' and '.join(names)} from {order.models}", highlight=False, markup=False)
        server = stack.enter_context(LocalServer(order.models, names, model=order.model, batching=order.batching))
        servers, metrics_urls = [Server(server.address.target)], (server.address.metrics_url,)
    model, most_images = describe_target(servers, order.model, names)
    if order.since_model not in (None, model.name):
        raise CompareError(f"--against: compares variants of {order.since_model}, not of {model.name}")
    check_versions(metrics_urls)
    gates = gates_for(order.gates, model.metric)
    test_set = _test_set(order, model)
    quality = QualityTest.of(model.metric, test_set.targets) if model.metric else None
    unread = with_memory(model, metrics_urls)[1] if metrics_urls else None
    if unread:
        err.print(f"Caveat: {unread}", style="yellow", highlight=False, markup=False)
    batch = order.settings.sizes.images_per_request
    if batch > most_images:
        raise TargetError(f"the server takes at most {most_images} images per request; the comparison sends {batch}")
    settings = replace(order.settings, images=len(test_set))
    same_machine = any(server.on_this_machine for server in servers)
    processes = count_processes(servers, model, metrics_urls)
    clock = cpu_clock(servers, model, metrics_urls)
    energy = stack.enter_context(energy_meter(here=all(server.on_this_machine for server in servers)))
    runner = stack.enter_context(
        LiveBlocks(
            servers,
            test_set,
            model=model.name,
            cpu=clock,
            energy=energy,
            same_machine=same_machine,
            tensors=bool(model.metric),
        )
    )
    ticks = cpu_times()
    with CompareProgress(err) as progress:
        experiment = Experiment(
            runner,
            settings,
            observer=progress,
            decided=lambda scenario, effects: _decided(gates, scenario, effects),
            extras=() if settings.quick else _extras(order, settings, test_set, model.name),
        )
        found = experiment.run()
    if metrics_urls:
        model, unread = with_memory(model, metrics_urls)
    stamp = serving_stamp(
        model,
        metrics_urls,
        same_machine=same_machine,
        steal=steal_between(ticks, cpu_times()),
        energy=energy.source,
    )
    info = test_set.info
    about = Surroundings(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=order.command,
        stamp=stamp,
        model=model,
        dataset=info,
        test=TestImages(test_set.images, test_set.labels, tuple(model.labels)),
        quality=quality,
        gates=gates,
        objective=order.objective,
        servers=[server.address for server in servers] if order.target else [],
        processes=processes,
        invalid=runner.invalid_scenarios(),
        same_machine=same_machine,
        caveats=[Remark("metrics", f"{unread[0].upper()}{unread[1:]}.", "costs")] if unread else [],
    )
    return assemble(found, about)


def _test_set(order: CompareOrder, model: Model) -> TestSet:
    test_set = fit_to_model(load_test_set(order.data or order.models / model.name), model)
    return test_set.head(order.images or len(test_set))


def _decided(gates: Sequence[Gate], scenario: str, effects: Sequence[Effect]) -> bool:
    """Whether no gate on this scenario is open any more."""
    evidence = Evidence(effects, None, (0, 0))
    concerned = [gate for gate in gates if gate.rule.scenario == scenario]
    return all(judge_gate(gate, evidence).outcome != "undecided" for gate in concerned)


def _extras(
    order: CompareOrder, settings: ExperimentSettings, test_set: TestSet, model: str
) -> list[tuple[str, Section, Extra]]:
    ladder = climb(order.objective, settings.sizes.server_load)
    cores = usable_cores()
    wide = order.target is None and cores > 1
    maps = _survey_threads(order, settings, test_set, model, cores) if wide else survey()
    return [("rate within the objective", "rate", ladder), ("crossover map", "crossover", maps)]


def _survey_threads(
    order: CompareOrder, settings: ExperimentSettings, test_set: TestSet, model: str, cores: int
) -> Extra:
    """The crossover map on the server of the experiment and on one with a thread a core."""
    names = list(dict.fromkeys((settings.baseline, settings.candidate)))

    def extra(measure: Measure, found: Measurements, seconds: float) -> None:
        with ExitStack() as stack:
            try:
                server = stack.enter_context(
                    LocalServer(order.models, names, model=model, threads=cores, batching=order.batching)
                )
            except ServerStartError as error:
                text = f"The crossover map has no row for {cores} threads: {error}."
                found.missing.append(Remark("crossover_threads", text, "crossover"))
                survey()(measure, found, seconds)
                return
            runner = stack.enter_context(
                LiveBlocks([Server(server.address.target)], test_set, model=model, cpu=None, same_machine=True)
            )

            def on_many_threads(plan: BlockPlan) -> Block:
                return runner.run(settings.candidate if plan.role == "candidate" else settings.baseline, plan)

            survey({1: measure, cores: on_many_threads})(measure, found, seconds)

    return extra
