"""The entry point of the ``twinserve`` command: the minimum that must load to print a message."""

from __future__ import annotations

import codecs
import io
import sys

#: Exit codes of every sub-command: 0 success; 1 the requested operation failed; 2 usage or environment; 3 unexpected
#: failure: a bug, or a broken output; 130 Ctrl-C.
USAGE = 2
UNEXPECTED = 3
INTERRUPTED = 130

#: Readable replacements (instead of "?") for characters that an ASCII or Latin-1 output cannot show.
_PLAIN = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    **dict.fromkeys("\u2018\u2019", "'"),
    **dict.fromkeys("\u201c\u201d", '"'),
    **dict(zip("\u00b5\u03bc\u00d7\u00b7\u2022", "uux|*", strict=True)),
    "±": "+/-",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "…": "...",
}


def main() -> None:
    """Run the command line in ``sys.argv``; always raises SystemExit."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        codecs.register_error("twinserve-plain", _plainly)
        sys.stdout.reconfigure(errors="twinserve-plain")
    try:
        from twinserve_client.cli.root import app

        app(prog_name="twinserve")
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith("twinserve"):
            raise
        print(
            f"twinserve: the command line needs the module {missing.name}: pip install 'twinserve[cli]'",
            file=sys.stderr,
        )
        raise SystemExit(usage_code(sys.argv[1] if sys.argv[1:] else None)) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except OSError as error:  # the root's own help, on a broken output
        from twinserve_client.cli.failure import explain, release_output

        release_output()
        print(explain(None, error), file=sys.stderr)
        raise SystemExit(UNEXPECTED) from None


def usage_code(command: str | None) -> int:
    """The exit code of a command that cannot start. Not 2 for ``compare``, where 2 means NOT ENOUGH EVIDENCE."""
    return UNEXPECTED if command == "compare" else USAGE


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


if __name__ == "__main__":
    main()
