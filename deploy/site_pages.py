"""The pages of the site that are made from code, as a hook of MkDocs: command line, SDK, proto, list of decisions."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

ROOT = Path(__file__).parents[1]
#: ``[words](target)``, images too.
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made here."""
    pages = {
        "reference/cli.md": command_line(),
        "reference/sdk.md": SDK,
        "reference/proto.md": contract(),
        "decisions/index.md": decisions(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """What a page links to outside the documentation is in the repository: name it instead. Pages are no files here."""
    here = posixpath.dirname(page.file.src_uri)

    def named(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", here, link[2]))
        if "://" in link[2] or target.startswith("docs/"):
            return link[0].replace(f"[{link[1]}]", f"[{link[1].removesuffix('.md')}]", 1)
        return f"{link[1]} (`{target}`)"

    return LINK.sub(named, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """The docstrings' roles (``:class:``) say nothing to a reader."""
    return re.sub(r":(?:class|meth|mod|func|attr):(?=<code>)", "", html)


SDK = """\
# Python SDK

What `twinserve_client` exports. [Call it from Python](../sdk.md) shows how it is used.

::: twinserve_client
"""


def command_line() -> str:
    """Every command with its arguments and options, as ``--help`` has them."""
    from twinserve_client.cli.root import app  # noqa: PLC0415  (it needs every package)

    root: Any = typer.main.get_command(app)
    text = get_docs_for_click(obj=root, ctx=root.context_class(root, info_name="twinserve"), name="twinserve")
    # Words in brackets are no HTML.
    text = re.sub(r"(?m)^(\* `[^`]*`: .*)$", lambda line: line[1].replace("<", "&lt;"), text)
    text = re.sub(r"(?m)^Examples:\n\n((?:  .*\n\n)+)", lambda found: _examples(found[1]), text)
    head = "# Command line\n\nAs `--help` says it. Exit codes: [the command line](../sdk.md#the-command-line).\n"
    return re.sub(r"\A# .*\n", head, text)


def _examples(lines: str) -> str:
    commands = "\n".join(line.strip() for line in lines.splitlines() if line.strip())
    return f"**Examples**:\n\n```text\n{commands}\n```\n\n"


def contract() -> str:
    """The files of the contract, whose comments are its documentation."""
    parts = [
        "# gRPC contract\n\nThe services that a server speaks. They only grow: a field never changes its meaning.\n"
    ]
    for path in sorted((ROOT / "proto").glob("*/**/*.proto")):
        if path.is_file():
            name = path.relative_to(ROOT / "proto")
            parts.append(f"## {name}\n\n```proto\n{path.read_text('utf-8')}```\n")
    return "\n".join(parts)


def decisions() -> str:
    """The list of decisions, by number."""
    lines = ["# Decisions\n\nHow things are done here and why, half a page each.\n"]
    for path in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        title = path.read_text("utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"
