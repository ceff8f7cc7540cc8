"""Processes of a test, and their children."""

from __future__ import annotations

import psutil

from support.server_process import ServerProcess


def process_tree(server: ServerProcess) -> list[psutil.Process]:
    """The server's supervisor, gateways and model processes."""
    supervisor = psutil.Process(server.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]
