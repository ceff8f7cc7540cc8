"""Build hook: generates the Python stubs of ``proto/`` (they are never committed)."""

from __future__ import annotations

import importlib.resources
import shutil
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Where a folder's stubs go, if not beside the ``.proto``: a top-level Python package named ``inference`` would be
#: anybody's.
PACKAGES = {"inference": "twinserve/inference"}
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


class StubsBuildHook(BuildHookInterface[Any]):
    """Runs protoc over every ``.proto`` before a wheel or an editable install is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Generate the stubs and declare them as artifacts of the wheel."""
        if self.target_name != "wheel":
            return
        build_data["artifacts"] += [f"/{path}" for path in generate(Path(self.root))]


def generate(root: Path) -> list[str]:
    """Write the stubs of every ``.proto`` under ``root/proto``; return their paths below ``root``."""
    from grpc_tools import protoc  # noqa: PLC0415  (there only in the build environment)

    proto = root / "proto"
    folders = {folder: PACKAGES.get(folder, folder) for folder in _folders(proto)}
    sources = [
        f"{package}/{source.name}"
        for folder, package in folders.items()
        for source in sorted((proto / folder).glob("*.proto"))
    ]
    moved = [f"-I{package}={proto / folder}" for folder, package in folders.items() if package != folder]
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    plugins = [
        f"--plugin={name}={found}"
        for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
        if (found := shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent)))
    ]
    out = str(proto)
    arguments = ["protoc", *moved, f"-I{out}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}"]
    if len(plugins) == 2:
        arguments += [*plugins, f"--mypy_out={out}", f"--mypy_grpc_out={out}"]
    if protoc.main([*arguments, *sources]) != 0:
        raise SystemExit("protoc failed: see the messages above")
    stems = [f"proto/{source.removesuffix('.proto')}" for source in sources]
    return [stem + suffix for stem in stems for suffix in SUFFIXES if (root / (stem + suffix)).exists()]


def _folders(proto: Path) -> list[str]:
    return sorted({source.parent.relative_to(proto).as_posix() for source in proto.rglob("*.proto")})


if __name__ == "__main__":
    print("\n".join(generate(Path(__file__).parent)))
