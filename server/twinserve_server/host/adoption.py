"""Processes whose parent has ended become children of this one, which is told how they end."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

#: Of linux/prctl.h.
_PR_SET_CHILD_SUBREAPER: Final = 36


def adopt_orphans() -> bool:
    """From now on adopt what descendants of this process leave behind; returns whether the system can do that."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, TypeError, AttributeError):
        return False
