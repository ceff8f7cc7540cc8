"""Write the boards to ``dashboards/*.json``; with ``--check`` only say whether the committed ones are current.

python deploy/grafana/generate.py [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from string import ascii_uppercase

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from ab_board import ab_board
from service_board import service_board

FOLDER = Path(__file__).parent / "dashboards"


def boards() -> dict[str, str]:
    """The text of every board's file, by file name."""
    files = {}
    for make in (ab_board, service_board):
        board = make().build()
        # Grafana tells panels and queries apart by these; the builders leave them alike.
        for number, panel in enumerate(board.panels or [], start=1):
            panel.id_val = number
            for letter, target in zip(ascii_uppercase, getattr(panel, "targets", None) or [], strict=False):
                target.ref_id = letter
        files[f"{board.uid}.json"] = json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
    return files


def main() -> int:
    """Write or check; 1 when a committed board is not current."""
    stale = []
    for name, text in boards().items():
        path = FOLDER / name
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv[1:]:
                path.write_text(text, "utf-8")
    verb = "stale" if "--check" in sys.argv[1:] else "written"
    print(f"{verb}: {', '.join(stale)}" if stale else "every board is current")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
