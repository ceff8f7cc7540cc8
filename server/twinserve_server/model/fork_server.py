"""The process from which model processes are forked.

It imports what runs models, once. A process forked from it shares that memory until either writes to it, so a replica
costs little more than its model, and starts without importing anything.

Started by the supervisor as ``python -m twinserve_server.model.fork_server FORMAT...``; standard input is its line to
the supervisor, which sends a configuration and three descriptors for each process it wants, and is answered with a PID.
The process ends when the line closes. It must have no second thread: a fork copies only the one that calls it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from twinserve_server.host.heap import return_freed_memory
from twinserve_server.host.standard_error import STDERR, protect_standard_error
from twinserve_server.ipc.codec import Frames
from twinserve_server.ipc.fork_line import PID, PROCESS_DESCRIPTORS
from twinserve_server.ipc.process_config import ModelProcessConfig
from twinserve_server.model import process

_READ_BYTES = 1 << 16


def main() -> None:
    """Fork until the supervisor ends the line."""
    line = socket.socket(fileno=0)
    for runtime in sys.argv[1:]:
        # A faulty library is reported by the model process that needs it.
        with contextlib.suppress(Exception):
            import_module(f"twinserve_server.model.{runtime}")
    # A collection writes to every object it visits, and would copy their pages in each process.
    gc.collect()
    gc.freeze()
    return_freed_memory()
    for config, descriptors in _requests(line):
        try:
            pid = _fork(line, config, descriptors)
        except OSError as error:
            pid = -(error.errno or 1)
        for descriptor in descriptors:
            os.close(descriptor)
        line.sendall(PID.pack(pid))


def _requests(line: socket.socket) -> Iterator[tuple[ModelProcessConfig, list[int]]]:
    frames: Frames[ModelProcessConfig] = Frames(ModelProcessConfig)
    descriptors: list[int] = []
    while True:
        data, more, _, _ = socket.recv_fds(line, _READ_BYTES, PROCESS_DESCRIPTORS)
        if not data:
            return
        descriptors += more
        for config in frames.feed(data):
            yield config, descriptors
            descriptors = []


def _fork(line: socket.socket, config: ModelProcessConfig, descriptors: list[int]) -> int:
    """Fork a model process; its PID, or an error number below 0.

    Its parent is a process that ends at once, so that the supervisor adopts it, and is told how it ends.
    """
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        try:
            pid = os.fork()
        except OSError as error:
            pid = -(error.errno or 1)
        if pid == 0:
            os.close(reading)
            os.close(writing)
            _become(line, config, descriptors)
        os.write(writing, PID.pack(pid))
        os._exit(0)
    os.close(writing)
    os.waitpid(parent, 0)
    data = os.read(reading, PID.size)
    os.close(reading)
    return int(PID.unpack(data)[0])


def _become(line: socket.socket, config: ModelProcessConfig, descriptors: list[int]) -> NoReturn:
    """Be the model process of ``config``, and end."""
    code = 1
    try:
        standard_error, control, slab = descriptors
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), line.detach())
        os.dup2(standard_error, STDERR)
        os.close(standard_error)
        # All forked processes show the same command line.
        with contextlib.suppress(OSError):
            Path("/proc/self/comm").write_text(config.name, "utf-8")
        code = process.run(replace(config, control_fd=control, slab_fd=slab), socket.socket(fileno=control))
    except Exception:  # noqa: BLE001  (whatever it is, this process must not go on as a fork server)
        traceback.print_exc()
    finally:
        protect_standard_error().finish()
        os._exit(code)


if __name__ == "__main__":
    main()
