"""Write ``docs/settings.md`` from the server's declarations; with ``--check`` only say whether it is current.

python deploy/settings_doc.py [--check]
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from twinserve_server.settings.declaration import Declared, declared
from twinserve_server.settings.server import ServerSettings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

HEAD = """\
# Server settings

Every setting of `twinserve serve` is a flag and an environment variable; the flag wins, and an empty variable counts as
unset. Generated from `server/twinserve_server/settings/server.py` by `deploy/settings_doc.py`.

A list is written `A,B`. Pairs are `NAME=VALUE`: repeat the flag, or separate pairs with spaces in the variable. JSON
works for both. An invalid value stops the server with exit code 2 and one line naming the flag or variable, the value
and what is allowed.
"""


def page() -> str:
    """The text of the page."""
    parts = [HEAD]
    for panel, entries in groupby(declared(ServerSettings), key=lambda entry: entry.panel):
        rows = "\n".join(map(_row, entries))
        parts.append(
            f"## {panel}\n\n| flag | variable | default | allowed | what it does |\n|---|---|---|---|---|\n{rows}\n"
        )
    return "\n".join(parts)


def _row(entry: Declared) -> str:
    flag = f"`{entry.flag}`" + (f", `--no-{entry.flag[2:]}`" if entry.kind is bool else "")
    text = entry.help.replace("<", "&lt;")
    return f"| {flag} | `{entry.variable}` | {entry.default or 'none'} | {entry.possible} | {text} |"


def main() -> int:
    """Write or check; 1 when the committed page is not current."""
    current = PAGE.exists() and PAGE.read_text("utf-8") == page()
    if "--check" in sys.argv[1:]:
        print("docs/settings.md is current" if current else "docs/settings.md is stale: run this without --check")
        return 0 if current else 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
