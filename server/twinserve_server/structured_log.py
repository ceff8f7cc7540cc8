"""structlog without rich, which it loads to draw tracebacks: 4 MiB of each process for what ours never ask of it."""

from __future__ import annotations

import sys

_HIDDEN = [name for name in ("rich", "rich.traceback") if name not in sys.modules]
for _name in _HIDDEN:
    sys.modules[_name] = None  # type: ignore[assignment]  # "cannot be imported"
try:
    import structlog
finally:
    for _name in _HIDDEN:
        del sys.modules[_name]

__all__ = ["structlog"]
