"""The model repository: ``<root>/<model>/<version>/``; the greatest version of each model is served."""

from __future__ import annotations

from pathlib import Path

from twinserve_server.artefact.manifest import MANIFEST_NAME, ModelVersion, read_manifest
from twinserve_server.artefact.signing import verify_signature
from twinserve_server.errors import ArtefactError


def find_versions(root: Path) -> dict[str, list[Path]]:
    """The version folders of every model under ``root``, the greatest version first."""
    found: dict[str, list[Path]] = {}
    for manifest in root.glob(f"*/*/{MANIFEST_NAME}"):
        folder = manifest.parent
        if is_version(folder.name):
            found.setdefault(folder.parent.name, []).append(folder)
    return {
        model: sorted(folders, key=lambda folder: int(folder.name), reverse=True)
        for model, folders in sorted(found.items())
    }


def is_version(name: str) -> bool:
    """Whether a folder of that name holds a version: one to nine of the digits 0 to 9."""
    return len(name) <= 9 and name.isascii() and name.isdigit()


def load_repository(root: Path, key: Path | None = None) -> dict[str, ModelVersion]:
    """The greatest version of every model under ``root``.

    Args:
        root: the model folder.
        key: the public key that they must be signed with; None: signatures are not looked at.

    Raises:
        ArtefactError: ``root`` is not a folder, holds no model, a manifest is wrong, or a signature does not hold.
    """
    build = f"`twinserve models build --models {root}`"
    if not root.exists():
        raise ArtefactError(f"model folder {root}: is not there; name another folder, or build it with {build}")
    if not root.is_dir():
        raise ArtefactError(
            f"model folder {root}: is not a folder; name one that holds <model>/<version>/{MANIFEST_NAME}"
        )
    versions = find_versions(root)
    if not versions:
        raise ArtefactError(
            f"model folder {root}: holds no <model>/<version>/{MANIFEST_NAME} ({_found(root)}); "
            f"name another folder, or build models there with {build}"
        )
    return {model: read_version(folders[0], key) for model, folders in versions.items()}


def read_version(folder: Path, key: Path | None) -> ModelVersion:
    """The version in ``folder``; with a ``key`` it must be signed.

    Raises:
        ArtefactError: its manifest is wrong, or its signature does not hold.
    """
    version = read_manifest(folder)
    if key is not None:
        verify_signature(folder, version.manifest_json, key)
    return version


def _found(root: Path) -> str:
    others = [str(path.parent.relative_to(root)) for path in sorted(root.glob(f"*/*/{MANIFEST_NAME}"))[:3]]
    if others:
        return f"found: {', '.join(others)}; a version is a number of up to nine digits"
    names = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"found: {', '.join(names[:5])}{more}" if names else "it is empty"
