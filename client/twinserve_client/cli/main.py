"""The root of the ``twinserve`` command: the least that must load before anything can be said."""

from __future__ import annotations

import sys

#: Exit codes of every sub-command: 0 done; 1 the thing asked for failed; 2 usage or environment; 130 Ctrl-C.
USAGE = 2
INTERRUPTED = 130


def main() -> None:
    """Run the command line of ``sys.argv``; always leaves by SystemExit."""
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
        raise SystemExit(USAGE) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    main()
