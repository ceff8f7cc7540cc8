"""Processes of a test, and their children."""

from __future__ import annotations

import contextlib

import psutil

from support.server_process import ServerProcess


def process_tree(server: ServerProcess) -> list[psutil.Process]:
    """The server's supervisor, gateways and model processes."""
    supervisor = psutil.Process(server.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def children_running(process: psutil.Process, what: str) -> list[psutil.Process]:
    """Its descendants whose command line holds ``what``; one that ends meanwhile is none."""
    found = []
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if what in " ".join(child.cmdline()):
                found.append(child)
    return found
