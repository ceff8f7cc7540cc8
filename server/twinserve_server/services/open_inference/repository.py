"""The model repository for Open Inference clients: index, load, unload."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Set
from typing import Any, Final

from twinserve.inference import open_inference_pb2 as pb
from twinserve_server.engine.engine import Engine
from twinserve_server.errors import InvalidInputError, PreconditionError, shown
from twinserve_server.ipc.control import ControlLine
from twinserve_server.ipc.messages import ActivateVersion, ListVersions, UnloadVersion, Versions
from twinserve_server.services.admin import LOAD_SECONDS, call_supervisor
from twinserve_server.services.open_inference.names import addressable, is_ready

_Entry = pb.RepositoryIndexResponse.ModelIndex
#: Triton's client sends it with every unload; there are no dependents here.
_UNLOAD_PARAMETERS: Final = frozenset({"unload_dependents"})


class RepositoryService:
    """The methods of ``inference.GRPCInferenceService`` about the repository; two of them are admin calls."""

    def __init__(self, engine: Engine, control: ControlLine) -> None:
        self._engine = engine
        self._control = control

    async def repository_index(self, request: pb.RepositoryIndexRequest, context: Any) -> pb.RepositoryIndexResponse:
        """Every name that a request may use, in each version that is loaded; then the models that are not."""
        entries = list(self._loaded())
        if request.ready:
            return pb.RepositoryIndexResponse(models=[entry for entry in entries if entry.state == "READY"])
        with contextlib.suppress(PreconditionError):  # a single process keeps the versions it started with
            found = await call_supervisor(self._control, ListVersions(), Versions)
            entries += [
                _Entry(name=model.model, version=model.versions[0].version, state="UNAVAILABLE", reason="unloaded")
                for model in found.models
                if not model.active and model.versions
            ]
        return pb.RepositoryIndexResponse(models=entries)

    async def repository_model_load(
        self, request: pb.RepositoryModelLoadRequest, context: Any
    ) -> pb.RepositoryModelLoadResponse:
        """Activate the highest version on disk; the previously active one finishes its requests and ends."""
        self._check(request.model_name, request.parameters.keys())
        wanted = ActivateVersion(request.model_name, "", keep_previous=False, if_active=None)
        await call_supervisor(self._control, wanted, Versions, LOAD_SECONDS)
        return pb.RepositoryModelLoadResponse()

    async def repository_model_unload(
        self, request: pb.RepositoryModelUnloadRequest, context: Any
    ) -> pb.RepositoryModelUnloadResponse:
        """Unload every version of a model."""
        self._check(request.model_name, request.parameters.keys() - _UNLOAD_PARAMETERS)
        await call_supervisor(self._control, UnloadVersion(request.model_name, ""), Versions, LOAD_SECONDS)
        return pb.RepositoryModelUnloadResponse()

    def _check(self, name: str, parameters: Set[str]) -> None:
        if not name:
            raise InvalidInputError.of("model_name", "is empty; give the model to load or unload")
        for served in self._engine.models.values():
            model = served.version.model
            if name != model and name.removeprefix(f"{model}_") in served.channels:
                raise InvalidInputError.of(
                    "model_name", f"{shown(name)} is a variant; a model is loaded as a whole: give {model!r}"
                )
        for parameter in sorted(parameters):
            raise InvalidInputError.of(
                f"parameters[{shown(parameter)}]", "is not supported; a version's manifest says how it is run"
            )

    def _loaded(self) -> Iterator[_Entry]:
        for name, served, variant in addressable(self._engine):
            ready = is_ready(self._engine, served, variant)
            yield _Entry(
                name=name,
                version=served.version.version,
                state="READY" if ready else "UNAVAILABLE",
                reason="" if ready else "its model process is not ready",
            )
