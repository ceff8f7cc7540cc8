"""Maps names to models and variants, and keeps a client for each model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twinserve_client import AsyncClient, ModelInfo, VariantInfo
from twinserve_rest.errors import RequestError

#: The maximum age of a description that is only used for names.
FRESH_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Addressed:
    """What a name means; ``variant`` None: the server's router decides."""

    name: str
    info: ModelInfo
    variant: str | None

    @property
    def variants(self) -> list[VariantInfo]:
        """The one that it means, or all of the model."""
        return [one for one in self.info.variants if self.variant in (None, one.name)]

    @property
    def platform(self) -> str:
        """What runs it; of several a list with commas, as over gRPC."""
        return ",".join(sorted({one.platform for one in self.variants}))

    @property
    def ready(self) -> bool:
        """Whether a request by that name would be answered."""
        wanted = [one for one in self.variants if self.variant or one.weight]
        return bool(wanted) and all(one.ready for one in wanted)


class Models:
    """The models of one server; a client for each, since a client speaks to one model."""

    def __init__(self, connect: Callable[[str | None], AsyncClient]) -> None:
        self._connect = connect
        self._clients: dict[str | None, AsyncClient] = {}
        self._names: dict[str, Addressed] = {}
        self._read_at = 0.0

    async def find(self, name: str, version: str, *, fresh: bool = False) -> Addressed:
        """What ``name`` means.

        Raises:
            RequestError: no such model, or not in that version.
            TwinserveError: the server does not say.
        """
        if fresh or name not in self._names or time.monotonic() - self._read_at > FRESH_SECONDS:
            await self.read()
        found = self._names.get(name)
        if found is None:
            served = ", ".join(self._names)
            raise RequestError(f"Request for unknown model: '{name}' is not found; served are: {served}", 404)
        if version and version != found.info.version:
            raise RequestError(
                f"Request for unknown model: '{name}' version {version} is not found; "
                f"served is version {found.info.version}",
                404,
            )
        return found

    async def read(self) -> list[Addressed]:
        """Every name that a request may use, asked anew.

        Raises:
            TwinserveError: the server does not say.
        """
        first = await self.client(None).describe_model()
        infos = [first if name == first.model else await self.client(name).describe_model() for name in first.models]
        found = {}
        for info in infos:
            found[info.model] = Addressed(info.model, info, None)
            for variant in info.variants:
                name = f"{info.model}_{variant.name}"
                found[name] = Addressed(name, info, variant.name)
        self._names, self._read_at = found, time.monotonic()
        return list(found.values())

    def forget(self) -> None:
        """Ask anew next time: models have come or gone."""
        self._names = {}

    def client(self, model: str | None) -> AsyncClient:
        """The client that asks for ``model``; None: the server's default."""
        if model not in self._clients:
            self._clients[model] = self._connect(model)
        return self._clients[model]

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.close()
