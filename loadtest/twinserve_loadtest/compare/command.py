"""What ``twinserve compare`` does once its options are read: server, test set, experiment, verdict, files."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from twinserve_host.cores import usable_cores
from twinserve_host.files import FileError, check_writable, is_stream, rescue_file, write_file
from twinserve_loadtest.compare.accuracy import TestImages
from twinserve_loadtest.compare.assemble import Surroundings, assemble
from twinserve_loadtest.compare.block_runner import ArmUnavailableError, MeasuredBlock
from twinserve_loadtest.compare.crossover import survey
from twinserve_loadtest.compare.exit_codes import EXIT_CODES, NO_VERDICT
from twinserve_loadtest.compare.experiment import Experiment
from twinserve_loadtest.compare.live_blocks import LiveBlocks
from twinserve_loadtest.compare.rate_ladder import Objective, climb
from twinserve_loadtest.compare.terminal import CompareProgress, show
from twinserve_loadtest.compare.verdict import Evidence, judge_gate
from twinserve_loadtest.generate.generator import GeneratorError
from twinserve_loadtest.record.findings import Remark
from twinserve_loadtest.record.stamp import cpu_times, steal_between
from twinserve_loadtest.record.testset import TestSetError, load_test_set
from twinserve_loadtest.report import ReportError, read_document, write_document
from twinserve_loadtest.target.describe import (
    TargetError,
    describe_target,
    on_this_machine,
    training_caveat,
    with_memory,
)
from twinserve_loadtest.target.local import LocalServer
from twinserve_loadtest.target.managed import ServerStartError
from twinserve_loadtest.target.stamp import cpu_clock, serving_stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinserve_client import TLS
    from twinserve_loadtest.compare.design import BlockPlan
    from twinserve_loadtest.compare.experiment import Extra, Measure
    from twinserve_loadtest.compare.gates import Gate
    from twinserve_loadtest.compare.measurements import Measurements, Settings
    from twinserve_loadtest.record.comparison import Comparison
    from twinserve_loadtest.record.findings import Effect
    from twinserve_loadtest.record.load_results import ModelInfo
    from twinserve_loadtest.record.stamp import Stamp
    from twinserve_loadtest.record.testset import TestSet


@dataclass(frozen=True, slots=True)
class CompareOrder:
    """The command line, read."""

    settings: Settings
    gates: Sequence[Gate]
    #: None: a server of our own, for the time of the comparison.
    target: str | None
    metrics_url: str | None
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


def run_compare(order: CompareOrder) -> int:
    """Measure, judge, write, show; the exit code."""
    err = Console(stderr=True)
    try:
        check_writable(order.output)
    except FileError as error:
        err.print(f"Error: {error}; name another place with --output", style="red", highlight=False, markup=False)
        return NO_VERDICT
    try:
        with ExitStack() as stack:
            comparison = _compare(order, stack, err)
    except (TargetError, TestSetError, ServerStartError, GeneratorError, ArmUnavailableError) as error:
        err.print(f"Error: {error}", style="red", highlight=False, markup=False)
        return NO_VERDICT
    return finish(comparison, order.output, as_json=order.as_json)


def finish(comparison: Comparison, path: Path, *, as_json: bool) -> int:
    """Write the result to ``path`` and its page beside it, show it; the exit code."""
    out, err = Console(), Console(stderr=True)
    result = _write(comparison, path, err)
    page = _write_page(path, err) if result == path and not is_stream(path) else None
    # A pipeline that asked for the result at a place and would find none, or an older one, must not go on.
    code = EXIT_CODES[comparison.verdict.outcome] if result == path else NO_VERDICT
    if as_json:
        print_verdict_json(comparison, result, code)
    else:
        show(comparison, out)
        if result is not None:
            out.print(f"Result: {result}", highlight=False, markup=False)
        if page is not None:
            out.print(f"Report: {page}", highlight=False, markup=False)
    return code


def _write(comparison: Comparison, path: Path, err: Console) -> Path | None:
    """Write the result; where it is: elsewhere when ``path`` takes it no more, None when nowhere."""
    try:
        write_comparison(comparison, path)
    except FileError as error:
        err.print(f"Error: {error}", style="red", highlight=False, markup=False)
    else:
        return path
    try:
        return rescue_file(path, comparison.to_json())
    except FileError as error:
        err.print(f"Error: {error}; the result is lost but for what is shown", style="red", highlight=False)
        return None


def _write_page(result: Path, err: Console) -> Path | None:
    """The report beside the result; a page that cannot be written does not change the verdict."""
    try:
        return write_document(read_document([result]), result.with_suffix(".html"))
    except ReportError as error:
        err.print(f"No report: {error}", style="yellow", highlight=False, markup=False)
        return None


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write ``compare-*.json``, whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    write_file(path, comparison.to_json())


def print_verdict_json(comparison: Comparison, path: Path | None, code: int) -> None:
    """The verdict for a pipeline, on standard output."""
    document = {**asdict(comparison.verdict), "exit_code": code, "result": str(path) if path else None}
    print(json.dumps(document, indent=1))


def _compare(order: CompareOrder, stack: ExitStack, err: Console) -> Comparison:
    names = list(dict.fromkeys((order.settings.baseline, order.settings.candidate)))
    target, metrics_url, tls = order.target, order.metrics_url, order.tls
    if target is None:
        err.print(f"Starting a server with {' and '.join(names)} from {order.models}", highlight=False, markup=False)
        server = stack.enter_context(LocalServer(order.models, names, batching=order.batching))
        target, metrics_url, tls = server.address.target, server.address.metrics_url, None
    model, most_images = describe_target(target, order.model, names, tls)
    test_set = _test_set(order, model)
    unread = with_memory(model, metrics_url)[1] if metrics_url is not None else None
    if unread:
        err.print(f"Caveat: {unread}", style="yellow", highlight=False, markup=False)
    batch = order.settings.sizes.images_per_request
    if batch > most_images:
        raise TargetError(f"{target}: takes at most {most_images} images a request, the comparison sends {batch}")
    settings = replace(order.settings, images=len(test_set))
    same_machine = on_this_machine(target)
    clock = cpu_clock(target, model.name, metrics_url, same_machine=same_machine, tls=tls)
    runner = stack.enter_context(
        LiveBlocks(target, test_set, model=model.name, cpu=clock, same_machine=same_machine, tls=tls)
    )
    ticks = cpu_times()
    with CompareProgress(err) as progress:
        experiment = Experiment(
            runner,
            settings,
            observer=progress,
            decided=lambda scenario, effects: _decided(order.gates, scenario, effects),
            extras=() if settings.quick else _extras(order, settings, test_set, model.name),
        )
        found = experiment.run()
    if metrics_url is not None:
        model, unread = with_memory(model, metrics_url)
    stamp = serving_stamp(model, metrics_url, same_machine=same_machine, steal=steal_between(ticks, cpu_times()))
    comparison = assemble(found, _surroundings(order, model, test_set, runner, stamp, same_machine=same_machine))
    for code, caveat in (("metrics", unread), ("training_reduced", training_caveat(model))):
        if caveat:
            comparison.caveats.append(Remark(code, f"{caveat[0].upper()}{caveat[1:]}."))
    return comparison


def _surroundings(
    order: CompareOrder, model: ModelInfo, test_set: TestSet, runner: LiveBlocks, stamp: Stamp, *, same_machine: bool
) -> Surroundings:
    info = test_set.info
    return Surroundings(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=order.command,
        stamp=stamp,
        model=model.name,
        version=model.version,
        variants={
            name: {**variant.manifest, "sha256": variant.sha256, "bytes": variant.artefact_bytes}
            for name, variant in model.variants.items()
        },
        dataset={
            **model.manifest.get("dataset", {}),
            "name": info.name,
            "source": info.source,
            "test_images": info.images,
            "full": info.full,
        },
        test=TestImages(test_set.images, test_set.labels, tuple(model.labels)),
        gates=order.gates,
        objective=order.objective,
        memory={name: variant.memory for name, variant in model.variants.items() if variant.memory is not None},
        invalid=runner.invalid_scenarios(),
        same_machine=same_machine,
    )


def _test_set(order: CompareOrder, model: ModelInfo) -> TestSet:
    test_set = load_test_set(order.data or order.models / model.name)
    shape = list(test_set.images.shape[1:])
    if shape != model.item_shape:
        raise TestSetError(f"the test set's images are {shape}, the model {model.name} takes {model.item_shape}")
    return test_set.head(order.images or len(test_set))


def _decided(gates: Sequence[Gate], scenario: str, effects: Sequence[Effect]) -> bool:
    """Whether no gate on this scenario is open any more."""
    evidence = Evidence(effects, None, (0, 0))
    concerned = [gate for gate in gates if gate.rule.scenario == scenario]
    return all(judge_gate(gate, evidence).outcome != "undecided" for gate in concerned)


def _extras(order: CompareOrder, settings: Settings, test_set: TestSet, model: str) -> list[tuple[str, Extra]]:
    ladder = climb(order.objective, settings.sizes.server_load)
    cores = usable_cores()
    wide = order.target is None and cores > 1
    maps = _survey_threads(order, settings, test_set, model, cores) if wide else survey()
    return [("rate within the objective", ladder), ("crossover map", maps)]


def _survey_threads(order: CompareOrder, settings: Settings, test_set: TestSet, model: str, cores: int) -> Extra:
    """The crossover map on the server of the experiment and on one with a thread a core."""
    names = list(dict.fromkeys((settings.baseline, settings.candidate)))

    def extra(measure: Measure, found: Measurements, seconds: float) -> None:
        with ExitStack() as stack:
            try:
                server = stack.enter_context(LocalServer(order.models, names, threads=cores, batching=order.batching))
            except ServerStartError as error:
                found.missing.append(Remark("crossover_threads", f"No crossover map with {cores} threads: {error}"))
                survey()(measure, found, seconds)
                return
            runner = stack.enter_context(
                LiveBlocks(server.address.target, test_set, model=model, cpu=None, same_machine=True)
            )

            def on_many_threads(plan: BlockPlan) -> MeasuredBlock:
                arm = settings.candidate if plan.role == "candidate" else settings.baseline
                return MeasuredBlock(arm, plan, runner.run(arm, plan), found.seconds)

            survey({1: measure, cores: on_many_threads})(measure, found, seconds)

    return extra
