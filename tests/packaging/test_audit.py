"""What `make check` makes of pip-audit's answer: findings fail, a missing network does not, nothing is hushed up."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "audit.py"


@pytest.fixture(scope="module")
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answer(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


SOUND = {"name": "numpy", "version": "2.4.0", "vulns": []}
FLAWED = {"name": "old", "version": "1.0", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["1.1"], "aliases": []}]}
UNKNOWN = {"name": "odd", "skip_reason": "Dependency not found on PyPI"}


def test_a_finding_fails_and_is_named(audit: Any) -> None:
    code, said = audit.judge(answer(SOUND, FLAWED), "Found 1 known vulnerability")
    assert code == 1
    assert said.splitlines() == [
        "old 1.0: CVE-2026-1, fixed in 1.1",
        "pip-audit: 2 dependencies audited, 1 vulnerabilities",
    ]


def test_what_the_index_does_not_know_is_not_called_audited(audit: Any) -> None:
    code, said = audit.judge(answer(SOUND, UNKNOWN), "")
    assert (code, said) == (
        0,
        "pip-audit: 1 dependencies audited, 0 vulnerabilities; the index knows nothing of 1 others",
    )


@pytest.mark.parametrize("output", ["", "not JSON", "[]", "{}"])
def test_without_an_answer_it_says_so_and_goes_on(audit: Any, output: str) -> None:
    code, said = audit.judge(output, "INFO\nERROR:pip_audit._cli:Connection refused\n")
    assert (code, said) == (0, "pip-audit: nothing was audited (ERROR:pip_audit._cli:Connection refused)")
