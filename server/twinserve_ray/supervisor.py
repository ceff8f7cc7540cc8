"""The deployment of one replica that knows the whole application: traffic, statistics, metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from importlib.metadata import version as package_version
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from twinserve_ray.account import Account
from twinserve_ray.reports import LOST_SECONDS, REPORT_SECONDS, Instructions, Key, Report
from twinserve_ray.transport import ServeTransport
from twinserve_server.errors import ModelUnavailableError, TwinserveError
from twinserve_server.host.memory import resident_bytes
from twinserve_server.ipc.messages import (
    Claim,
    Done,
    GetStatistics,
    GetStatus,
    Message,
    ProcessStatus,
    Refused,
    SetTraffic,
    Statistics,
    Status,
)
from twinserve_server.metrics import families
from twinserve_server.metrics.exposition import ServerCollector
from twinserve_server.metrics.sums import Values
from twinserve_server.structured_log import structlog
from twinserve_server.supervisor.metrics import Sheet
from twinserve_server.supervisor.model_reports import ModelState
from twinserve_server.supervisor.plan import Plan
from twinserve_server.supervisor.statistics import variant_statistics
from twinserve_server.supervisor.traffic import Gateway, Traffic
from twinserve_server.telemetry.logs import configure_logging

log = structlog.get_logger()

#: How long a change of the traffic waits for every gateway to follow it.
FOLLOW_SECONDS: Final = 5.0


class ServeSupervisor:
    """Hears every replica, and says what all of them must agree on."""

    def __init__(self, plan: Plan) -> None:
        """
        Raises:
            TrafficFileError: the file that the settings name cannot be used.
        """
        configure_logging(plan.settings.log_format, plan.settings.log_level, process="supervisor")
        self.plan = plan
        #: Gateways learn of changes from the responses to their reports; there is no line to each.
        self.gateways: Sequence[Gateway] = ()
        self._account = Account()
        self._traffic = Traffic(self)
        self._following = asyncio.ensure_future(self._traffic.keep_following())
        self._started = time.monotonic()
        registry = CollectorRegistry()
        registry.register(ServerCollector(lambda: self._account.slabs, self._values))
        self._registry = registry

    async def report(self, report: Report) -> Instructions:
        """Take what a replica says of itself."""
        self._account.take(report)
        # A supervisor restarted elsewhere knows less than the processes that it supervises.
        for model, policy in report.policies.items():
            if self._traffic.file is None and policy.generation > self._traffic.policies[model].generation:
                self._traffic.policies[model] = policy
        young = time.monotonic() - self._started < LOST_SECONDS
        return Instructions(dict(self._traffic.policies), None if young else self._replicas())

    async def ask(self, question: Message) -> Message:
        """Answer a gateway's question, or refuse it."""
        try:
            match question:
                case SetTraffic(model=model):
                    await self._traffic.change(question)
                    await self._followed(model)
                case GetStatus():
                    return self._status()
                case GetStatistics():
                    return Statistics(variant_statistics(self._account.slabs))
                case Claim(key=key):
                    self._traffic.claims.claim(key)
        except TwinserveError as error:
            return Refused(type(error).__name__, error.message, tuple(error.violations))
        return Done()

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """The metrics of all replicas, in the form that the scraper takes; and what form it is."""
        encode, kind = choose_encoder(accept)
        return await asyncio.to_thread(encode, self._registry), kind

    async def _followed(self, model: str) -> None:
        """Wait until every gateway has the policy of ``model``."""
        policy, until = self._traffic.policies[model], time.monotonic() + FOLLOW_SECONDS
        while late := [report.process for report in self._account.gateways if report.policies[model] != policy]:
            if time.monotonic() > until:
                raise ModelUnavailableError(f"traffic: changed, but not followed yet by: {', '.join(sorted(late))}")
            await asyncio.sleep(REPORT_SECONDS / 4)

    def _replicas(self) -> dict[Key, int]:
        ready: dict[Key, int] = {}
        for report in self._account.models:
            assert report.key is not None
            ready[report.key] = ready.get(report.key, 0) + 1
        return ready

    def _status(self) -> Status:
        processes = []
        for report in self._account.reports:
            model, variant = report.key or ("", "")
            status = ProcessStatus(
                name=report.process,
                role=report.role,
                pid=report.pid,
                ready=report.ready,
                restarts=self._account.restarts(report.process),
                variant=variant,
                model=model,
                version=self.plan.active.get(model, ""),
                pss_bytes=report.resident.pss,
                cpu_seconds=report.cpu_seconds,
            )
            processes.append(status)
        return Status(package_version("twinserve"), time.monotonic() - self._started, processes)

    def _values(self) -> dict[str, Values]:
        """Every family that the supervisor fills in, by name."""
        sheet = Sheet(ServeTransport.name)
        for report in self._account.reports:
            resident = {"pss": report.resident.pss, "rss": report.resident.rss}
            if report.key is None:
                sheet.put(families.GATEWAY_CPU, (report.process,), report.cpu_seconds)
                for kind, held in resident.items():
                    sheet.put(families.GATEWAY_RESIDENT, (report.process, kind), held)
                continue
            model, variant = report.key
            replica = self.plan.replica(self.plan.versions[model], variant, report.index)
            state = ModelState(replica, report.facts, report.ready_at)
            labels = sheet.put_model(self._traffic, state, ready=report.ready)
            sheet.add(families.MODEL_CPU, labels, report.cpu_seconds)
            for kind, held in resident.items():
                sheet.put(families.MODEL_RESIDENT, (*labels, str(report.index), kind), held)
        for (model, variant), seconds in self._account.spent.items():
            sheet.add(families.MODEL_CPU, (model, self.plan.active[model], variant), seconds)
        sheet.put_traffic_file(self._traffic)
        own = resident_bytes()
        sheet.put(families.SUPERVISOR_RESIDENT, ("pss",), own.pss)
        sheet.put(families.SUPERVISOR_RESIDENT, ("rss",), own.rss)
        return sheet.values
