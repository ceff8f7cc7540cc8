"""The model repository: ``<root>/<model>/<version>/``. A server starts with the highest version of each model."""

from __future__ import annotations

from pathlib import Path

from twinserve_server.artefact.manifest import MANIFEST_NAME, ModelVersion, read_manifest
from twinserve_server.artefact.signing import verify_signature
from twinserve_server.errors import ArtefactError, InvalidInputError, UnknownModelError, shown


def find_versions(root: Path) -> dict[str, list[Path]]:
    """The version folders of every model under ``root``, highest version first."""
    found: dict[str, list[Path]] = {}
    for manifest in root.glob(f"*/*/{MANIFEST_NAME}"):
        folder = manifest.parent
        if is_version(folder.name):
            found.setdefault(folder.parent.name, []).append(folder)
    return {model: sorted(folders, key=_number, reverse=True) for model, folders in sorted(found.items())}


def is_version(name: str) -> bool:
    """Whether ``name`` is a version: one to nine of the digits 0 to 9."""
    return len(name) <= 9 and name.isascii() and name.isdigit()


def load_repository(root: Path, key: Path | None = None) -> dict[str, ModelVersion]:
    """The highest version of every model under ``root``.

    Args:
        root: the model folder.
        key: the public key to verify signatures with; None skips the check.

    Raises:
        ArtefactError: ``root`` is not a folder or contains no model, a manifest is wrong, or a signature is invalid.
    """
    build = f"`twinserve models build --models {root}`"
    if not root.exists():
        raise ArtefactError(f"model folder {root}: does not exist; name another folder, or build it with {build}")
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
        ArtefactError: its manifest is wrong, or its signature is invalid.
    """
    version = read_manifest(folder)
    if key is not None:
        verify_signature(folder, version.manifest_json, key)
    return version


def version_folders(root: Path) -> dict[str, list[Path]]:
    """The version folders under ``root``, complete or not, by model; highest version first."""
    found: dict[str, list[Path]] = {}
    for folder in root.glob("*/*"):
        if is_version(folder.name) and folder.is_dir():
            found.setdefault(folder.parent.name, []).append(folder)
    return {model: sorted(folders, key=_number, reverse=True) for model, folders in sorted(found.items())}


def find_version(root: Path, model: str, version: str, key: Path | None = None) -> ModelVersion:
    """A version, or the highest if ``version`` is empty; with a ``key`` it must be signed.

    Raises:
        InvalidInputError: ``version`` is not a version number.
        UnknownModelError: no such model or version.
        ArtefactError: its folder is incomplete, the manifest is wrong, or its signature is invalid.
    """
    if version and not is_version(version):
        raise InvalidInputError.of("version", f"is {shown(version)}; give a number of up to nine digits")
    # Looked up, not joined to a path: a name from elsewhere cannot lead out of the folder.
    models = version_folders(root)
    if model not in models:
        raise UnknownModelError(
            f"model: {shown(model)} is not in {root}; available: {', '.join(models) or 'none'}; put its files into "
            f"{root}/<model>/<version>"
        )
    folders = {folder.name: folder for folder in models[model]}
    if version and version not in folders:
        raise UnknownModelError(
            f"version: {shown(version)} of {model} is not in {root}; available: {', '.join(folders)}"
        )
    return read_version(folders[version] if version else models[model][0], key)


def _number(folder: Path) -> int:
    return int(folder.name)


def _found(root: Path) -> str:
    others = [str(path.parent.relative_to(root)) for path in sorted(root.glob(f"*/*/{MANIFEST_NAME}"))[:3]]
    if others:
        return f"found: {', '.join(others)}; a version is a number of up to nine digits"
    names = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"found: {', '.join(names[:5])}{more}" if names else "it is empty"
