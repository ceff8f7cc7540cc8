"""A server of our own for the time of a comparison: only the variants that are compared.

The load test knows the server by its command line, its ready file and the SDK only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from twinserve_client import CallError, Client
from twinserve_host.python import python
from twinserve_loadtest.record.measurement import AT
from twinserve_loadtest.target.managed import ManagedServer, ServerStartError

if TYPE_CHECKING:
    from pathlib import Path


class LocalServer(ManagedServer):
    """``twinserve serve`` as a child process; a context manager.

    Args:
        models: model folder.
        variants: the only ones to serve: another variant's process would share the cores. ``int8@2`` is that of
            version 2, which is loaded once the server is there.
        model: whose versions those are; None: the server's default model.
        threads: of a forward pass.
        batching: whether requests are batched dynamically.
    """

    def __init__(
        self, models: Path, variants: list[str], *, model: str | None = None, threads: int = 1, batching: bool = True
    ) -> None:
        split = [name.partition(AT) for name in variants]
        #: "" is the greatest, with which a server starts.
        self._versions = list(dict.fromkeys(version for _, _, version in split))
        self._model = model
        super().__init__(
            [
                *python("-m", "twinserve_server"),
                *("--models", str(models)),
                *("--variants", ",".join(dict.fromkeys(name for name, _, _ in split))),
                *("--threads", str(threads)),
                "--batching" if batching else "--no-batching",
                "--no-build",
                # One process for everything could not load another version.
                *(("--profile", "isolated") if any(self._versions) else ()),
            ]
        )

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._load_versions()
        except CallError as error:
            self.stop()
            raise ServerStartError(error.message) from None
        except BaseException:
            self.stop()
            raise
        return self

    def _load_versions(self) -> None:
        """Load the versions that are named, and unload the one that the server began with if it is not among them."""
        named = [version for version in self._versions if version]
        with Client(self.address.target, model=self._model) as client:
            if named and "" not in self._versions:
                client.versions.activate(named[0])
            for version in named:
                client.versions.load(version)
