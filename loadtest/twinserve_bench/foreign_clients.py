"""The clients of KServe and of MLServer, each in an environment of its own under the cache folder: neither's
dependencies agree with ours. Example:

    python -m twinserve_bench.foreign_clients --install
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

#: What is installed for each.
PACKAGES: Final = {"kserve": ("kserve==0.21.0",), "mlserver": ("mlserver==1.7.1", "uvloop<0.22")}


def folder(name: str) -> Path:
    """Where a client's environment lies, or would."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twinserve" / name


def python(name: str) -> Path:
    """The interpreter that has the client."""
    return folder(name) / "bin" / "python"


def are_installed() -> bool:
    """Whether both can run here."""
    return all(any(folder(name).glob(f"lib/python*/site-packages/{name}/__init__.py")) for name in PACKAGES)


def main() -> int:
    """Install them; takes some minutes and pip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", required=True, help="make the environments")
    parser.parse_args()
    for name, packages in PACKAGES.items():
        venv.create(folder(name), with_pip=True)
        done = subprocess.run([str(python(name)), "-m", "pip", "install", "--quiet", *packages], check=False)
        if done.returncode:
            print(f"error: pip could not install {' '.join(packages)} in {folder(name)}", file=sys.stderr)
            return 1
    print(f"installed: {', '.join(str(folder(name)) for name in PACKAGES)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
