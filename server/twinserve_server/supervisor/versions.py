"""Loads, activates and unloads versions of models while the server runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twinserve_server.artefact.manifest import ModelVersion, read_manifest
from twinserve_server.artefact.repository import find_version, version_folders
from twinserve_server.errors import ArtefactError, ConflictError, PreconditionError, TwinserveError, UnknownModelError
from twinserve_server.ipc import messages
from twinserve_server.ipc.messages import Done, KeepMetrics, ModelVersions, SetModel, VersionStatus
from twinserve_server.structured_log import structlog
from twinserve_server.supervisor.child import ChildProcess
from twinserve_server.supervisor.fleet import Fleet
from twinserve_server.supervisor.plan import first_policy, served_of
from twinserve_server.supervisor.traffic import Traffic

log = structlog.get_logger()

#: How long a gateway may take to reach new processes, or to finish the requests for old ones.
SWITCH_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Past:
    """What is known of versions that are not, or not yet, loaded."""

    busy: dict[tuple[str, str], str]
    failures: dict[tuple[str, str], str]
    previous: dict[str, str]
    lingering: dict[tuple[str, str], asyncio.TimerHandle]


class Versions:
    """Changes which versions a server runs, one change at a time."""

    def __init__(self, fleet: Fleet, traffic: Traffic) -> None:
        self._fleet = fleet
        self._traffic = traffic
        self._past = _Past({}, {}, {}, {})
        self._changing = asyncio.Lock()

    @property
    def lingering(self) -> list[tuple[str, str]]:
        """(model, version) of those that are not loaded any more, but whose metrics stay a while."""
        return list(self._past.lingering)

    def tell(self, gateway: ChildProcess) -> None:
        """Tell a gateway what is served: what changed since it was configured has passed it by."""
        for model in self._fleet.plan.active:
            gateway.tell(SetModel(self._fleet.plan.setup(model, self._traffic.policies[model])))

    async def load(self, model: str, version: str) -> None:
        """Load a version alongside the others; returns once it is warm and every gateway can reach it.

        The versions loaded before keep serving, whatever happens.

        Raises:
            InvalidInputError: ``version`` is not a version number.
            UnknownModelError: no such version.
            ArtefactError: it cannot be served.
            PreconditionError: its processes ended while loading it.
        """
        async with self._changing:
            found = await self._find(model, version)
            if model not in self._fleet.plan.active:
                raise PreconditionError(f"model {model!r} has no active version; activate one of its versions instead")
            if not self._is_loaded(model, found.version):
                await self._load(found)

    async def activate(self, model: str, version: str, *, keep_previous: bool, if_active: str | None = None) -> None:
        """Route requests that name no version to this one, loading it first if necessary.

        The previously active version finishes its requests and is unloaded, unless ``keep_previous`` is set or the
        traffic policy names it.

        Raises:
            ConflictError: the active version is not ``if_active``.
            TwinserveError: as for :meth:`load`, or the traffic policy does not fit.
        """
        async with self._changing:
            previous = self._fleet.plan.active.get(model, "")
            if if_active is not None and if_active != previous:
                raise ConflictError(
                    f"if_active: is {if_active!r}, but version {previous or 'none'} of {model} is active"
                )
            found = await self._find(model, version)
            version = found.version
            if version == previous:
                return
            if not self._is_loaded(model, version):
                await self._load(found)
            if previous:
                self._traffic.policies[model] = self._traffic.of_version(model, version)
                self._past.previous[model] = previous
            self._fleet.plan = self._fleet.plan.with_active(model, version)
            await self._tell_all(model)
            log.info("version_activated", model=model, version=version, previous=previous)
            if previous and not keep_previous and not self._traffic.uses(model, previous):
                await self._unload(model, previous)

    async def unload(self, model: str, version: str) -> None:
        """Unload a version, or all of a model; returns when its processes have ended.

        Raises:
            UnknownModelError: it is not loaded.
            PreconditionError: nothing would be left to answer requests that name no version or no model.
        """
        async with self._changing:
            plan = self._fleet.plan
            if version not in plan.loaded.get(model, {}) and (version or model not in plan.loaded):
                if not version:
                    raise UnknownModelError(f"model: {model!r} is not loaded; loaded: {', '.join(plan.loaded)}")
                loaded = ", ".join(plan.loaded.get(model, {})) or "none"
                raise UnknownModelError(f"version: {version!r} of {model!r} is not loaded; loaded: {loaded}")
            if version and version == plan.active[model]:
                raise PreconditionError(f"version {version} of {model} is active; activate another one first")
            if version and (name := self._traffic.uses(model, version)):
                raise PreconditionError(
                    f"the traffic policy of {model} names {name!r}; give its share to another first"
                )
            if not version and model == plan.default_model:
                raise PreconditionError(
                    f"{model} answers the requests that name no model; it can be unloaded where another is "
                    "--default-model"
                )
            # The active one last, because its model goes with it.
            others = [number for number in plan.loaded[model] if number != plan.active[model]]
            for number in [version] if version else [*others, plan.active[model]]:
                await self._unload(model, number)

    async def survey(self) -> messages.Versions:
        """Every version on disk or loaded, and its state."""
        plan, root = self._fleet.plan, self._fleet.plan.settings.model_folder
        folders = await asyncio.to_thread(version_folders, root)
        broken = await asyncio.to_thread(_broken, [path for paths in folders.values() for path in paths])
        models = []
        for model in sorted(folders.keys() | plan.loaded.keys()):
            on_disk = {path.name: path for path in folders.get(model, [])}
            loaded = plan.loaded.get(model, {})
            versions = []
            for number in sorted(on_disk.keys() | loaded.keys(), key=int, reverse=True):
                key = (model, number)
                reason = "" if number in loaded else broken.get(on_disk[number], "") or self._past.failures.get(key, "")
                state = "loaded" if number in loaded else "broken" if reason else "available"
                variants = list(loaded[number].variants) if number in loaded else []
                versions.append(VersionStatus(number, self._past.busy.get(key, state), reason, variants))
            models.append(
                ModelVersions(model, plan.active.get(model, ""), self._past.previous.get(model, ""), versions)
            )
        return messages.Versions(models)

    def _is_loaded(self, model: str, version: str) -> bool:
        return version in self._fleet.plan.loaded.get(model, {})

    async def _find(self, model: str, version: str) -> ModelVersion:
        """A loaded version as it was loaded, another as it lies on disk."""
        if (loaded := self._fleet.plan.loaded.get(model, {}).get(version)) is not None:
            return loaded
        settings = self._fleet.plan.settings
        try:
            found = await asyncio.to_thread(find_version, settings.model_folder, model, version, settings.model_key)
        except ArtefactError as error:
            self._failed(model, version, error)
            raise
        served = served_of(found, settings)
        if not served.variants:
            raise PreconditionError(
                f"version {found.version} of {model} has none of --variants {','.join(settings.variants)}"
            )
        return served

    async def _load(self, version: ModelVersion) -> None:
        fleet, model, key = self._fleet, version.model, (version.model, version.version)
        if (timer := self._past.lingering.pop(key, None)) is not None:
            timer.cancel()
        self._past.busy[key] = "loading"
        log.info("version_loading", model=model, version=version.version, variants=list(version.variants))
        children: list[ChildProcess] = []
        try:
            children += [fleet.add_model(replica) for replica in fleet.plan.replicas_of(version)]
            await fleet.until_ready(children, attempts=1)
            first = model not in fleet.plan.active
            if first:
                self._traffic.policies[model] = first_policy(version, fleet.plan.settings)
            fleet.plan = fleet.plan.with_loaded(version)
            if first:
                fleet.plan = fleet.plan.with_active(model, version.version)
            await self._tell_all(model)
        except TwinserveError as error:
            if fleet.plan.holds(version):
                fleet.plan = fleet.plan.without(model, version.version)
                await self._tell_all(model)
            for child in children:
                child.kill()
            await fleet.end_models(children)
            self._linger(model, version.version, [child.name for child in children])
            self._failed(model, version.version, error)
            raise (error if isinstance(error, ArtefactError) else PreconditionError(error.message)) from None
        finally:
            self._past.busy.pop(key, None)
        self._past.failures.pop(key, None)
        log.info("version_loaded", model=model, version=version.version)

    async def _unload(self, model: str, version: str) -> None:
        fleet, key = self._fleet, (model, version)
        children = [
            child
            for child, state in fleet.models.values()
            if (state.replica.version.model, state.replica.version.version) == key
        ]
        self._past.busy[key] = "unloading"
        try:
            # Tell the gateways first: from then on, none of them sends the processes anything.
            fleet.plan = fleet.plan.without(model, version)
            await self._tell_all(model)
            await fleet.end_models(children)
        finally:
            self._past.busy.pop(key, None)
        self._linger(model, version, [child.name for child in children])
        log.info("version_unloaded", model=model, version=version)

    async def _tell_all(self, model: str) -> None:
        """Tell every gateway what is served of ``model``, and wait until it is so.

        Raises:
            ModelUnavailableError: one cannot reach a new process.
        """
        message = SetModel(self._fleet.plan.setup(model, self._traffic.policies[model]))
        gateways = [gateway for gateway in self._fleet.gateways if gateway.line is not None]
        calls = [gateway.line.call(message, Done, SWITCH_SECONDS) for gateway in gateways if gateway.line is not None]
        for gateway, outcome in zip(gateways, await asyncio.gather(*calls, return_exceptions=True), strict=True):
            if isinstance(outcome, TwinserveError):
                raise outcome
            if isinstance(outcome, TimeoutError):
                # One that ends is told again when it is back; this one is running.
                log.warning("gateway_slow_to_switch", process=gateway.name, model=model, seconds=SWITCH_SECONDS)

    def _failed(self, model: str, version: str, error: TwinserveError) -> None:
        self._past.failures[model, version] = error.message
        log.warning("version_refused", model=model, version=version, reason=error.message)

    def _linger(self, model: str, version: str, processes: list[str]) -> None:
        seconds = self._fleet.plan.settings.unloaded_metrics_seconds
        self._past.lingering[model, version] = asyncio.get_running_loop().call_later(
            seconds, self._forget, model, version, processes
        )

    def _forget(self, model: str, version: str, processes: list[str]) -> None:
        """The metrics of a version that is not loaded any more end."""
        self._past.lingering.pop((model, version), None)
        for process in processes:
            self._fleet.books.drop(process)
        loaded = [(name, number) for name, versions in self._fleet.plan.loaded.items() for number in versions]
        for gateway in self._fleet.gateways:
            gateway.tell(KeepMetrics([*loaded, *self._past.lingering, *self._past.busy]))


def _broken(folders: list[Path]) -> dict[Path, str]:
    """Those whose manifest cannot be used, and why."""
    found = {}
    for folder in folders:
        try:
            read_manifest(folder)
        except ArtefactError as error:
            found[folder] = error.message
    return found
