"""What a process needed for a rush goes back to the kernel once it is calm."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from typing import Any

from twinserve_server.host import relief

BLOCK_BYTES, BLOCKS = 10_000, 10_000


async def rush() -> None:
    """Grow by 100 MB that is freed but for the last block, which keeps the heap from shrinking by itself.

    What is freed lies in cycles, which an idle process does not look for.
    """
    gc.disable()
    relief.LOOK_SECONDS = 0.1  # type: ignore[misc]
    relieving = asyncio.ensure_future(relief.give_back_after_rushes())
    await asyncio.sleep(0.2)
    before = relief._resident()
    blocks: list[Any] = [bytes(BLOCK_BYTES) for _ in range(BLOCKS)]
    last = blocks.pop()
    blocks.append(blocks)
    del blocks
    held = relief._resident() - before
    assert held > BLOCKS * BLOCK_BYTES / 2, "the heap shrank by itself: there is nothing to test"
    until = time.monotonic() + 60
    while relief._resident() - before > held / 4:
        assert time.monotonic() < until, f"of {held} bytes it still holds {relief._resident() - before}"
        await asyncio.sleep(0.05)
    assert last
    relieving.cancel()


def test_a_calm_process_gives_back_what_it_grew_by() -> None:
    """In a process of its own, whose heap nobody else has used."""
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    asyncio.run(rush())
