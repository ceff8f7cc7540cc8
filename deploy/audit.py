"""Ask for known vulnerabilities of the pinned dependencies; ``make check`` runs it.

Exit code 1: there are some. Without a network, or where the index does not know them, it says what was not looked at.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PINNED = Path(__file__).parents[1] / "constraints.txt"
SECONDS = 300


def main() -> int:
    """Run pip-audit and put its answer into a few lines."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(PINNED), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        print(f"pip-audit: no answer within {SECONDS} s; nothing was audited")
        return 0
    code, said = judge(ended.stdout, ended.stderr)
    print(said)
    return code


def judge(output: str, errors: str) -> tuple[int, str]:
    """The exit code and the words for what pip-audit wrote."""
    try:
        found: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        why = errors.strip().splitlines()[-1:] or ["it gave no reason"]
        return 0, f"pip-audit: nothing was audited ({why[0]})"
    lines = [
        f"{item['name']} {item['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'no version'}"
        for item in found
        for flaw in item.get("vulns", ())
    ]
    skipped = sum("skip_reason" in item for item in found)
    unseen = f"; the index knows nothing of {skipped} others" if skipped else ""
    lines.append(f"pip-audit: {len(found) - skipped} dependencies audited, {len(lines)} vulnerabilities{unseen}")
    return int(len(lines) > 1), "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
