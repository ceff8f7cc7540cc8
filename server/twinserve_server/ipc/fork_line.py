"""What the supervisor and the fork server send each other: see ``model/fork_server.py``."""

from __future__ import annotations

import struct
from typing import Final

#: With each configuration, in this order: standard error, control line, metrics.
PROCESS_DESCRIPTORS: Final = 3
#: The answer: a PID or, below 0, the number of an error.
PID: Final = struct.Struct("!i")
