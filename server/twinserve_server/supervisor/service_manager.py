"""Notifications to systemd for a service with ``Type=notify``: ready, stopping, alive.

The protocol is that of sd_notify(3): lines in a datagram to the socket that ``NOTIFY_SOCKET`` names.
"""

from __future__ import annotations

import asyncio
import os
import socket

from twinserve_server.structured_log import structlog

log = structlog.get_logger()


class ServiceManager:
    """The service manager that started this process; without one, nothing is sent."""

    def __init__(self) -> None:
        """Take its address out of the environment, so that no child process speaks in this one's name."""
        address = os.environ.pop("NOTIFY_SOCKET", "")
        # "@" stands for the null byte of an abstract address.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = os.environ.pop("WATCHDOG_USEC", "")
        meant = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        #: Seconds between heartbeats, half of the manager's timeout; 0 if it expects none.
        self.alive_seconds = int(microseconds) / 2e6 if meant and microseconds.isdigit() else 0.0

    def tell(self, *lines: str) -> None:
        """Send ``lines``, each ``NAME=VALUE``. A manager that cannot be reached is no reason to stop serving."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("service_manager_not_told", lines=lines, error=str(error))

    async def keep_alive(self) -> None:
        """Show that the event loop turns, for as long as the manager wants to know."""
        while self.alive_seconds:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self.alive_seconds)
