"""Memory after a rush: what a process needed for it goes back to the kernel.

Cycles wait for Python's collector, and what is freed stays in the C heap, between what is still in use: by itself glibc
gives back only what lies at the end. To give back the rest takes up to a tenth of a second, so it waits until there is
little else to do.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from pathlib import Path
from typing import Final

from twinserve_server.host.heap import return_freed_memory

LOOK_SECONDS: Final = 5.0
#: Of one core: a process that uses less counts as idle.
CALM_SHARE: Final = 0.2
#: A process that has grown by less than both together is left alone.
GROWN: Final = 1.15
GROWN_BYTES: Final = 8 << 20


async def give_back_after_rushes() -> None:
    """While this process is larger than it was, and calm, give back what it does not use; until cancelled."""
    least, cpu, at = _resident(), time.process_time(), time.monotonic()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        used, now, resident = time.process_time(), time.monotonic(), _resident()
        calm = used - cpu < CALM_SHARE * (now - at)
        cpu, at, least = used, now, min(least, resident)
        # If all of the growth is in use, this costs a few milliseconds.
        if calm and resident > GROWN * least + GROWN_BYTES:
            # grpc.aio leaves each call's metadata in a cycle, and an idle process allocates too little to collect it.
            gc.collect()
            await asyncio.to_thread(return_freed_memory)


def _resident() -> int:
    """Resident bytes; 0 where the kernel does not tell, and C libraries cannot be told either."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0
