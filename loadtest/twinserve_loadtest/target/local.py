"""A server of our own for the time of a comparison: only the variants that are compared.

The load test knows the server by its command line and its ready file only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinserve_host.python import python
from twinserve_loadtest.target.managed import ManagedServer

if TYPE_CHECKING:
    from pathlib import Path


class LocalServer(ManagedServer):
    """``twinserve serve`` as a child process; a context manager.

    Args:
        models: model folder.
        variants: the only ones to serve: another variant's process would share the cores.
        threads: of a forward pass.
        batching: whether requests are batched dynamically.
    """

    def __init__(self, models: Path, variants: list[str], *, threads: int = 1, batching: bool = True) -> None:
        super().__init__(
            [
                *python("-m", "twinserve_server"),
                *("--models", str(models)),
                *("--variants", ",".join(dict.fromkeys(variants))),
                *("--threads", str(threads)),
                "--batching" if batching else "--no-batching",
                "--no-build",
            ]
        )
