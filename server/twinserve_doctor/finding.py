"""What a check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

#: ok: fine; note: a server would work, but something is missing or could be better; fault: a server would not start.
Level = Literal["ok", "note", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about this machine.

    Attributes:
        check: what was looked at: ``processor``, ``torch``, ``port 8500``.
        found: what is there, in one line.
        advice: what to do; empty where there is nothing to do.
        facts: the same for programs, as JSON values.
    """

    check: str
    level: Level
    found: str
    advice: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
