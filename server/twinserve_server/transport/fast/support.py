"""Whether the fast transport can be used here: system, grpcio version, and where gRPC core waits."""

from __future__ import annotations

import os
import socket
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

#: Exactly the versions on which the conformance suite has passed, because the API is private.
GRPCIO_VERSIONS: Final = (
    "1.76.0",
    "1.78.2",
    "1.80.1",
    "1.81.2",
    "1.82.3",
    "1.83.2",
    "1.84.2",
    "1.85.0",
    "1.85.1",
)
#: Makes gRPC core read in the thread that polls the completion queue, not in its own threads.
POLLER_EXPERIMENT: Final = "-event_engine_listener"


class UnsupportedError(Exception):
    """The fast transport cannot run here; the message says why."""


def environment() -> dict[str, str]:
    """What must stand in the environment of the process: gRPC core chooses its poller when it is loaded."""
    given = os.environ.get("GRPC_EXPERIMENTS", "").split(",")
    return {"GRPC_EXPERIMENTS": ",".join(filter(None, (*given, POLLER_EXPERIMENT)))}


def check() -> None:
    """See that this process is one in which the fast transport was tried.

    Raises:
        UnsupportedError: it is not; the message says in what.
    """
    found = version("grpcio")
    if found not in GRPCIO_VERSIONS:
        raise UnsupportedError(f"grpcio {found} is not among {', '.join(GRPCIO_VERSIONS)}")
    if sys.platform != "linux":
        raise UnsupportedError(f"it needs Linux (epoll), this is {sys.platform}")
    if POLLER_EXPERIMENT not in os.environ.get("GRPC_EXPERIMENTS", ""):
        raise UnsupportedError(f"GRPC_EXPERIMENTS lacks {POLLER_EXPERIMENT}")


def find_poller() -> int:
    """The descriptor of gRPC core's epoll set: the one that watches a listening socket.

    Raises:
        UnsupportedError: there is none.
    """
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") != "anon_inode:[eventpoll]":
                continue
            info = Path(f"/proc/self/fdinfo/{name}").read_text("ascii")
        except OSError:  # the descriptor used to list the folder is closed by now
            continue
        watched = (int(line.split()[1]) for line in info.splitlines() if line.startswith("tfd:"))
        if any(map(_listens, watched)):
            return int(name)
    raise UnsupportedError("gRPC core does not watch its port with a separate epoll set")


def _listens(descriptor: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False
