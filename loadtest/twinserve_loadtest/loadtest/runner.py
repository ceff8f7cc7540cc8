"""Runs a load test against a running server: plan, generate, merge, and report what is missing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from twinserve_loadtest.generate.generator import GeneratorError
from twinserve_loadtest.generate.record import BlockRecord, merged
from twinserve_loadtest.generate.spec import ROUTED
from twinserve_loadtest.loadtest.missing import missing_of
from twinserve_loadtest.loadtest.plan import LoadSettings, plan_blocks
from twinserve_loadtest.loadtest.quality import QualityCheck
from twinserve_loadtest.loadtest.step import FAILURE_LIMIT, StepSearch
from twinserve_loadtest.loadtest.summarise import summarise
from twinserve_loadtest.record.caveats import caveats_of
from twinserve_loadtest.record.measurement import Record
from twinserve_loadtest.record.run import RatePoint, RateSearch, Remark, Run
from twinserve_loadtest.record.spread import silent, summed
from twinserve_loadtest.record.stamp import cpu_times, steal_between
from twinserve_loadtest.record.terms import Scenario
from twinserve_loadtest.target.cpu_clock import GATEWAYS, spent
from twinserve_loadtest.target.energy import used
from twinserve_loadtest.target.stamp import serving_stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twinserve_loadtest.generate.spec import BlockSpec
    from twinserve_loadtest.record.measurement import Dataset, Model
    from twinserve_loadtest.target.cpu_clock import CpuClock
    from twinserve_loadtest.target.energy import EnergyMeter
    from twinserve_loadtest.target.servers import Servers


class Generates(Protocol):
    """What runs blocks: a :class:`twinserve_loadtest.generate.generator.LoadGenerator`."""

    def run(self, spec: BlockSpec, on_progress: Callable[[int, float], None] | None = None) -> BlockRecord:
        """Run one block."""


class Observer(Protocol):
    """Receives the progress of the load test."""

    def block_begins(self, spec: BlockSpec, number: int, total: int | None) -> None:
        """Block ``number`` (from 1) of ``total`` (None: not known beforehand) begins."""

    def block_goes_on(self, requests: int, seconds: float) -> None:
        """About four times a second."""


@dataclass(slots=True)
class LoadTest:
    """One load test; :meth:`run` may be interrupted, :meth:`record` then tells what there is.

    Args:
        settings: What was asked for.
        variants: The variants to test.
        dataset: Of the generator's test set.
        generator: Entered already.
        observer: Is told about progress.
    """

    settings: LoadSettings
    variants: list[str]
    dataset: Dataset
    generator: Generates
    observer: Observer
    cpu: CpuClock | None = None
    """Reads the CPU seconds of the servers; None: they stay unknown."""
    energy: EnergyMeter | None = None
    """Reads what the machine uses; None: that stays unknown."""
    quality: QualityCheck | None = None
    """Of a model without classes whose test set says what is expected."""
    foreign_share: float | None = None
    """Busy share of all cores (0..1) just before or after the load; None: not known."""
    records: dict[Scenario, list[BlockRecord]] = field(default_factory=lambda: defaultdict(list))
    """By mode, in the order in which they ran."""
    steps: list[RatePoint] = field(default_factory=list)
    sustained: dict[str, float | None] = field(default_factory=dict)
    not_run: list[BlockSpec] = field(default_factory=list)
    stopped: str = ""
    """Why the test ended before its time."""
    interrupted: bool = False
    """The user ended it."""
    _poor: list[Remark] = field(default_factory=list)
    """Why a variant's quality is not known."""
    _ran: int = 0
    _cpu_before: tuple[int, int] = field(default_factory=cpu_times)

    def run(self) -> None:
        """Run every block; a server or generator that fails ends the test early."""
        if self.settings.mode == "step":
            self._search()
            return
        self.not_run = plan_blocks(self.settings, self.variants, self.dataset.images)
        total = len(self.not_run)
        while self.not_run and not self.stopped:
            record = self._block(self.not_run[0], total)
            if record is not None:
                del self.not_run[0]

    def record(
        self,
        *,
        command: str,
        servers: Servers,
        model: Model,
        metrics_urls: Sequence[str] = (),
        processes: Mapping[str, int] | None = None,
        caveats: Sequence[Remark] = (),
    ) -> Record:
        """What there is so far, with everything that is missing and the ``caveats`` that the caller knows of."""
        same_machine = any(server.on_this_machine for server in servers)
        runs: dict[Scenario, Run] = {mode: self._run(mode, len(model.labels), same_machine) for mode in self.records}
        missing = missing_of(self.records, self.not_run)
        if self.interrupted:
            missing.insert(0, Remark("interrupted", "The test was interrupted."))
        elif self.stopped:
            missing.insert(0, Remark("ended_early", f"The test ended early: {self.stopped}."))
        missing += self._poor
        record = Record(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command,
            stamp=serving_stamp(
                model,
                metrics_urls,
                same_machine=same_machine,
                steal=steal_between(self._cpu_before, cpu_times()),
                energy=self.energy.source if self.energy is not None else "",
            ),
            model=model,
            dataset=self.dataset,
            runs=runs,
            target=",".join(server.address for server in servers),
            servers=[server.address for server in servers],
            processes=dict(processes or {}),
            rates=self._rates() if self.steps else None,
            settings=asdict(self.settings),
            same_machine=same_machine,
            foreign_cpu_share=self.foreign_share,
            complete=not missing,
            missing=missing,
        )
        return replace(record, caveats=[*caveats, *caveats_of(record)])

    def _block(self, spec: BlockSpec, total: int | None) -> BlockRecord | None:
        self._ran += 1
        self.observer.block_begins(spec, self._ran, total)
        before, joules = self._cpu_seconds(spec), self._joules(spec)
        if self.quality is not None and spec.mode == "accuracy" and spec.variant is not None:
            spec = replace(spec, keep_outputs=str(self.quality.folder / spec.variant))
        try:
            record = self.generator.run(spec, self.observer.block_goes_on)
        except GeneratorError as error:
            self.stopped = str(error)
            return None
        record.joules = used(joules, self._joules(spec))
        record.cpu_seconds, record.gateway_cpu_seconds = map(spent, before, self._cpu_seconds(spec))
        self.records["step" if self.settings.mode == "step" else spec.mode].append(record)
        self.stopped = record.aborted or _unanswered(record)
        return record

    def _cpu_seconds(self, spec: BlockSpec) -> tuple[float | None, float | None]:
        """Of the variant's model processes, and of the gateways."""
        if self.cpu is None or spec.variant is None:
            return None, None
        return self.cpu.seconds(spec.variant), self.cpu.seconds(GATEWAYS)

    def _joules(self, spec: BlockSpec) -> float | None:
        return None if self.energy is None or spec.variant is None else self.energy.joules()

    def _search(self) -> None:
        search = StepSearch(
            first_rate=self.settings.rate,
            p99_limit_us=self.settings.p99_limit_ms * 1000,
            seconds=self.settings.block_seconds,
            seed=self.settings.seed,
        )

        def run_block(spec: BlockSpec) -> BlockRecord:
            record = self._block(spec, None)
            if record is None:
                raise GeneratorError(self.stopped)
            return record

        for variant in self.variants:
            if self.stopped:
                self.not_run.append(search.first_block(variant))
                continue
            try:
                self.sustained[variant], steps = search.run(variant, run_block)
            except GeneratorError:
                self.not_run.append(search.first_block(variant))
            else:
                self.steps += steps

    def _run(self, mode: Scenario, classes: int, same_machine: bool) -> Run:
        records = self.records[mode]
        by_variant: dict[str | None, list[BlockRecord]] = defaultdict(list)
        for record in records:
            by_variant[record.spec.variant].append(record)
        arms = {}
        for group in by_variant.values():
            total = merged(self._best_step(group) if mode == "step" else group, parallel=False)
            for variant in total.tallies:
                arms[variant] = summarise(total, variant, classes, same_machine=same_machine)
                if self.quality is not None and mode == "accuracy":
                    found, why = self.quality.of(variant, total.tallies[variant])
                    arms[variant] = replace(arms[variant], quality=found)
                    if why:
                        self._poor.append(Remark("quality", f"Quality of {variant}: {why}.", "accuracy"))
        spec = records[0].spec
        return Run(
            scenario=mode,
            arms=arms,
            images_per_request=spec.batch,
            offered_rate=None if mode == "step" else spec.rate,
            users=spec.users if mode == "closed" else None,
            parameters={
                name: value
                for name in ("users", "seconds", "requests", "warm_up", "timeout")
                if (value := getattr(spec, name)) is not None
            },
        )

    def _rates(self) -> RateSearch:
        return RateSearch("p99", self.settings.p99_limit_ms, FAILURE_LIMIT, dict(self.sustained), self.steps)

    def _best_step(self, records: list[BlockRecord]) -> list[BlockRecord]:
        """The block at the highest rate sustained (or the first): figures of several rates do not mix."""
        sustained = self.sustained.get(records[0].spec.variant or ROUTED)
        return [record for record in records if record.spec.rate == sustained][:1] or records[:1]


def _unanswered(record: BlockRecord) -> str:
    """Why a test must not go on after a block without a single answer of a server; empty when each gave one."""
    servers = summed(tally.servers for tally in record.tallies.values())
    mute = silent(servers)
    if not mute:
        return ""
    where = f" by {', '.join(mute)}" if len(servers) > 1 else ""
    codes = sorted({code for share in mute.values() for code in share.failures})
    return f"no request of {record.spec.mode}, {record.spec.variant or ROUTED} was answered{where} ({', '.join(codes)})"
