"""Blocks against a real server: Locust sends, the SDK encodes, the server reports stage times and CPU time.

Each way of sending has its own generator, so that switching between scenarios opens no connections. Both arms
of a pair get the same images in the same order, at the same random times.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from twinserve_host.files import scratch_folder
from twinserve_loadtest.compare.runner import ArmUnavailableError
from twinserve_loadtest.generate.generator import GeneratorError, LoadGenerator
from twinserve_loadtest.generate.record import BlockRecord, merged
from twinserve_loadtest.generate.recorder import OK
from twinserve_loadtest.generate.spec import BlockSpec, open_loop_users
from twinserve_loadtest.generate.validity import judge
from twinserve_loadtest.record.blocks import Block
from twinserve_loadtest.record.spread import silent
from twinserve_loadtest.record.stamp import cpu_times, steal_between
from twinserve_loadtest.target.cpu_clock import GATEWAYS, CpuClock, spent
from twinserve_loadtest.target.energy import EnergyMeter, used

if TYPE_CHECKING:
    from types import TracebackType

    from twinserve_loadtest.record.blocks import BlockPlan
    from twinserve_loadtest.record.terms import Figure, Scenario
    from twinserve_loadtest.record.testset import TestSet
    from twinserve_loadtest.target.servers import Servers

#: Offline: requests in flight, so that the next batch is always waiting.
OFFLINE_USERS = 2
#: Probabilities are shown next to images that the arms answer differently; larger arrays would fill memory.
_MOST_PROBABILITIES = 20_000_000
_TIMEOUT = 5.0
_BULK_TIMEOUT = 30.0


class LiveBlocks:
    """A :class:`~twinserve_loadtest.compare.runner.Runner` for one server, or for several in turn.

    Args:
        servers: where to send.
        test_set: what is sent.
        model: its name.
        cpu: reads the CPU seconds of a variant; None: they stay unknown.
        energy: reads what the machine uses; None: that stays unknown.
        same_machine: whether server and generator share the machine.
        tensors: whether the model returns tensors instead of classes.
    """

    def __init__(
        self,
        servers: Servers,
        test_set: TestSet,
        *,
        model: str,
        cpu: CpuClock | None,
        energy: EnergyMeter | None = None,
        same_machine: bool,
        tensors: bool = False,
    ) -> None:
        self._servers = servers
        self._test_set = test_set
        self._model = model
        self._cpu = cpu
        self._energy = energy
        self._same_machine = same_machine
        self._tensors = tensors
        self._stack = ExitStack()
        self._scratch: Path | None = None
        self._kept = 0
        self._generators: dict[Scenario, LoadGenerator] = {}
        self._totals: dict[str, dict[str, BlockRecord]] = defaultdict(dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self, arm: str, block: BlockPlan) -> Block:
        """Send one block (the :class:`~twinserve_loadtest.compare.runner.Runner` protocol)."""
        spec = block_spec(arm, block)
        if block.phase == "accuracy":
            spec = self._keeping(spec)
        before, ticks = self._cpu_seconds(arm), cpu_times()
        gateways, joules = self._cpu_seconds(GATEWAYS), self._joules()
        try:
            record = self._generator(block.traffic).run(spec)
        except GeneratorError as error:
            raise ArmUnavailableError(str(error)) from None
        joules = used(joules, self._joules())
        stolen, after = steal_between(ticks, cpu_times()), self._cpu_seconds(arm)
        tally = record.tally(arm)
        if record.aborted or tally.codes[OK] == 0:
            why = record.aborted or f"none of {tally.requests} requests was answered: {tally.failures}"
            raise ArmUnavailableError(f"{arm}: {why}")
        for server, share in silent(tally.servers).items():
            raise ArmUnavailableError(
                f"{arm}: {server} answered none of {share.requests} requests: {dict(share.failures)}"
            )
        if block.phase == "main":
            self._add(block.scenario, arm, record)
        answered = tally.codes[OK]
        stages = {**tally.stage_seconds, "client_total": tally.latency_sum_us / 1e6}
        stages["server_total"] = stages.pop("total")
        reading = record.reading
        late = reading.send_lateness if record.scheduled else reading.timer_lateness
        return Block(
            arm=arm,
            plan=block,
            seconds=record.seconds,
            requests=tally.requests,
            images=tally.images,
            errors=tally.requests - answered,
            histogram=tally.histogram,
            cpu_seconds=spent(before, after),
            gateway_cpu_seconds=spent(gateways, self._cpu_seconds(GATEWAYS)),
            joules=joules,
            mean_batch_size=sum(size * count for size, count in tally.batch_sizes.items()) / answered,
            stage_seconds=stages,
            lateness_p99_us=float(late.get_value_at_percentile(99)) if late.get_total_count() else None,
            servers=tally.servers,
            generator_cpu_share=round(reading.cpu_share, 4),
            steal_share=stolen,
            invalid=_invalid(record, block),
            predictions=tally.predictions if block.phase == "accuracy" else None,
            probabilities=tally.probabilities if block.phase == "accuracy" else None,
            outputs=Path(spec.keep_outputs) if spec.keep_outputs else None,
        )

    def _keeping(self, spec: BlockSpec) -> BlockSpec:
        """Keep what is answered: the tensors of a model without classes, else the probabilities if they are few."""
        if not self._tensors:
            numbers = (int(self._test_set.labels.max()) + 1) * len(self._test_set)
            return replace(spec, keep_probabilities=numbers <= _MOST_PROBABILITIES)
        if self._scratch is None:
            self._scratch = self._stack.enter_context(scratch_folder("twinserve-answers-"))
        self._kept += 1
        return replace(spec, keep_outputs=str(self._scratch / str(self._kept)))

    def invalid_scenarios(self) -> dict[str, list[str]]:
        """Scenario -> why the generator, not the server, set its figures; judged over all its blocks."""
        found: dict[str, list[str]] = {}
        for scenario, arms in self._totals.items():
            reasons = []
            for arm, total in arms.items():
                figure: Figure = "throughput" if total.spec.mode == "offline" else "latency"
                reasons += [
                    f"{arm}: {why}" for why in judge(total, same_machine=self._same_machine).invalid.get(figure, [])
                ]
            if reasons:
                found[scenario] = reasons
        return found

    def _add(self, scenario: str, arm: str, record: BlockRecord) -> None:
        """Totals alone are kept: a histogram of every block would fill the memory."""
        total = self._totals[scenario].get(arm)
        if total is None:
            self._totals[scenario][arm] = merged([record], parallel=False)
        else:
            total.add_following(record)

    def _generator(self, traffic: Scenario) -> LoadGenerator:
        if traffic not in self._generators:
            generator = LoadGenerator(self._servers, self._test_set, model=self._model)
            self._generators[traffic] = self._stack.enter_context(generator)
        return self._generators[traffic]

    def _cpu_seconds(self, arm: str) -> float | None:
        if self._cpu is None:
            return None
        with contextlib.suppress(OSError):
            return self._cpu.seconds(arm)
        return None

    def _joules(self) -> float | None:
        return None if self._energy is None else self._energy.joules()


def block_spec(arm: str, block: BlockPlan) -> BlockSpec:
    """The order to the generator; the two blocks of a pair differ in the variant alone."""
    accuracy = block.phase == "accuracy"
    users, warm_up, timeout = {
        "single-stream": (1, 5, _TIMEOUT),
        "open": (open_loop_users(block.rate or 1.0), 1, _TIMEOUT),
        "offline": (OFFLINE_USERS, 1, _BULK_TIMEOUT),
    }[block.traffic]
    return BlockSpec(
        "accuracy" if accuracy else block.traffic,
        arm,
        users,
        block.images_per_request,
        requests=block.requests,
        rate=block.rate,
        seed=0 if accuracy else block.seed,
        first_image=None if accuracy else block.first_image,
        warm_up=0 if accuracy else warm_up,
        timeout=timeout,
    )


def _invalid(record: BlockRecord, block: BlockPlan) -> str:
    """What spoils a single block; what shows only over many is judged in ``invalid_scenarios``."""
    if record.dropped:
        return f"{record.dropped} of {record.scheduled} arrivals were never sent"
    if block.phase == "slo":  # each rung is judged by itself
        return "; ".join(why for why in judge(record).invalid.get("latency", []) if "generator" in why)
    return ""
