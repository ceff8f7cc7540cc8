"""The model repository over HTTP: which names there are, load, unload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from fastapi import FastAPI, Request, Response

from twinserve_client import AsyncClient, ConflictError
from twinserve_client.versions import AsyncVersions
from twinserve_rest.bodies import documented, parse, read_body
from twinserve_rest.errors import RequestError
from twinserve_rest.messages import ChangeRequest, IndexEntry, IndexRequest
from twinserve_rest.models import Models

#: Size limit of a request about models rather than tensors.
_MAX_BYTES: Final = 1 << 20
#: Triton's client sends it with every unload; there are no dependents here.
_UNLOAD_PARAMETERS: Final = frozenset({"unload_dependents"})

Connect = Callable[[str | None], AsyncClient]


def add_repository(app: FastAPI, models: Models, connect_admin: Connect | None) -> None:
    """Add the routes; without ``connect_admin`` nothing is loaded or unloaded, as in Triton's mode ``none``."""

    @app.post(
        "/v2/repository/index", summary="Every name that a request may use", openapi_extra=documented(IndexRequest)
    )
    async def index(request: Request) -> list[IndexEntry]:
        asked = parse(await read_body(request, _MAX_BYTES) or b"{}", IndexRequest)
        entries = [
            IndexEntry(
                name=one.name,
                version=one.info.version,
                state="READY" if one.ready else "UNAVAILABLE",
                reason="" if one.ready else "its model process is not ready",
            )
            for one in await models.read()
        ]
        if asked.ready:
            return [entry for entry in entries if entry.state == "READY"]
        return entries if connect_admin is None else entries + await _unloaded(connect_admin)

    @app.post(
        "/v2/repository/models/{name}/load",
        summary="Activate the highest version on disk",
        response_class=Response,
        openapi_extra=documented(ChangeRequest),
    )
    async def load(request: Request, name: str) -> Response:
        return await change(request, name, AsyncVersions.activate, frozenset())

    @app.post(
        "/v2/repository/models/{name}/unload",
        summary="Unload every version",
        response_class=Response,
        openapi_extra=documented(ChangeRequest),
    )
    async def unload(request: Request, name: str) -> Response:
        return await change(request, name, AsyncVersions.unload_all, _UNLOAD_PARAMETERS)

    async def change(
        request: Request, name: str, how: Callable[[AsyncVersions], Awaitable[Any]], ignored: frozenset[str]
    ) -> Response:
        if connect_admin is None:
            raise RequestError(
                "explicit model load / unload is not allowed; start twinserve rest with --admin-target", 403
            )
        _check_origin(request)
        asked = parse(await read_body(request, _MAX_BYTES) or b"{}", ChangeRequest)
        for parameter in sorted(asked.parameters.keys() - ignored):
            raise RequestError(f"parameters.{parameter}: is not supported; a version's manifest says how it is run")
        for one in await models.read():
            if one.name == name and one.variant:
                raise RequestError(f"{name!r} is a variant; a model is loaded as a whole: give {one.info.model!r}")
        async with connect_admin(name) as client:
            await how(client.versions)
        models.forget()
        return Response()


def _check_origin(request: Request) -> None:
    """Refuse what a page of another site has the browser of someone on this machine send."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise RequestError(f"Origin: {origin[:200]!r} is another site, whose pages may not load or unload models", 403)


async def _unloaded(connect_admin: Connect) -> list[IndexEntry]:
    """The models on disk of which no version is loaded."""
    async with connect_admin(None) as client:
        with suppress(ConflictError):  # a single process keeps the versions it started with
            return [
                IndexEntry(name=one.model, version=one.versions[0].version, state="UNAVAILABLE", reason="unloaded")
                for one in await client.versions.list()
                if one.versions and not one.active
            ]
    return []
