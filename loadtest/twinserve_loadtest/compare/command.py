"""What ``twinserve compare`` does once its options are read: server, test set, experiment, verdict, files."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

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
from twinserve_loadtest.target.describe import TargetError, describe_target, with_memory
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

_LOOPBACK = ("127.", "localhost", "[::1]", "unix:")


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
    out, err = Console(), Console(stderr=True)
    try:
        with ExitStack() as stack:
            comparison = _compare(order, stack, err)
    except (TargetError, TestSetError, ServerStartError, GeneratorError, ArmUnavailableError) as error:
        err.print(f"Error: {error}", style="red", highlight=False, markup=False)
        return NO_VERDICT
    write_comparison(comparison, order.output)
    page = _write_page(order.output, err)
    if order.as_json:
        print_verdict_json(comparison, order.output)
    else:
        show(comparison, out)
        out.print(f"Result: {order.output}", highlight=False, markup=False)
        if page is not None:
            out.print(f"Report: {page}", highlight=False, markup=False)
    return EXIT_CODES[comparison.verdict.outcome]


def _write_page(result: Path, err: Console) -> Path | None:
    """The report beside the result; a page that cannot be written does not change the verdict."""
    try:
        return write_document(read_document([result]), result.with_suffix(".html"))
    except ReportError as error:
        err.print(f"No report: {error}", style="yellow", highlight=False, markup=False)
        return None


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write ``compare-*.json``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".part")
    scratch.write_text(comparison.to_json(), "utf-8")
    scratch.replace(path)


def print_verdict_json(comparison: Comparison, path: Path) -> None:
    """The verdict for a pipeline, on standard output."""
    verdict = comparison.verdict
    document = {**asdict(verdict), "exit_code": EXIT_CODES[verdict.outcome], "result": str(path)}
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
    batch = order.settings.sizes.images_per_request
    if batch > most_images:
        raise TargetError(f"{target}: takes at most {most_images} images a request, the comparison sends {batch}")
    settings = replace(order.settings, images=len(test_set))
    same_machine = target.startswith(_LOOPBACK)
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
        model = with_memory(model, metrics_url)
    stamp = serving_stamp(model, metrics_url, same_machine=same_machine, steal=steal_between(ticks, cpu_times()))
    return assemble(found, _surroundings(order, model, test_set, runner, stamp, same_machine=same_machine))


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
    cores = len(os.sched_getaffinity(0))
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
