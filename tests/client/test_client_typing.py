"""The package is typed for its users, not only for itself."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import twinserve_client
from twinserve_client import AsyncClient, Client

HERE = Path(__file__).parent


def test_a_type_checker_finds_the_types() -> None:
    assert (resources.files("twinserve_client") / "py.typed").is_file()


def test_the_public_api_has_the_types_that_it_promises(tmp_path: Path) -> None:
    # Outside the repository, so that the types are found as a user's type checker finds them: installed.
    program = tmp_path / "program.py"
    program.write_text((HERE / "typing_api.py").read_text("utf-8"), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def public(kind: type[Any]) -> dict[str, inspect.Signature]:
    """The signatures of the public methods, without what the faces differ in on purpose: the result."""
    return {
        name: inspect.signature(method).replace(return_annotation=inspect.Signature.empty)
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and name != "predict_stream"
    }


def test_both_clients_have_the_same_methods_and_arguments() -> None:
    assert public(Client) == public(AsyncClient)
    assert inspect.signature(Client) == inspect.signature(AsyncClient)


@pytest.mark.parametrize("name", twinserve_client.__all__)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    thing = getattr(twinserve_client, name)
    assert isinstance(thing, str) or (thing.__doc__ or "").strip()
