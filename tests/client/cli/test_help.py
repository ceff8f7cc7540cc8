"""What ``--help`` shows is what its author wrote: words in square brackets would vanish as markup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from twinserve_client.cli.root import app


def commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not hasattr(group, "list_commands"):
        yield name, group
        return
    for word in group.list_commands(None):
        yield from commands(group.get_command(None, word), f"{name} {word}".strip())


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_default_that_is_told_in_words_is_not_taken_for_markup(name: str) -> None:
    texts = [getattr(parameter, "help", None) or "" for parameter in COMMANDS[name].params]
    assert not [text for text in texts if "[default: " in text.replace("\\[default: ", "")]
