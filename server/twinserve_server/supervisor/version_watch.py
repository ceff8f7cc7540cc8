"""Activates new versions in the model folder when they are complete (``--watch``)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from twinserve_server.artefact.manifest import MANIFEST_NAME
from twinserve_server.artefact.repository import version_folders
from twinserve_server.errors import TwinserveError
from twinserve_server.structured_log import structlog
from twinserve_server.supervisor.fleet import Fleet
from twinserve_server.supervisor.versions import Versions

log = structlog.get_logger()

#: How often the folder is checked. Files that changed since the last check may still be being written.
LOOK_SECONDS: Final = 1.0

Key = tuple[str, str]
#: A fingerprint of a folder's state, by file; links are followed, because a ConfigMap is updated by switching one.
Print = tuple[tuple[str, int, int, int], ...]


class VersionWatch:
    """Activates the highest version of each model if it is higher than the active one and has not been seen before.

    A version that has been active, loaded or rejected is left alone until its files change: an operator's rollback is
    not overruled, and a broken version is reported once.
    """

    def __init__(self, fleet: Fleet, versions: Versions) -> None:
        self._fleet = fleet
        self._versions = versions
        self._last: dict[Key, Print] = {}
        self._met: dict[Key, Print] = {}

    async def keep_watching(self) -> None:
        """Watch for as long as the server runs."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        plan = self._fleet.plan
        now = await asyncio.to_thread(_prints, plan.settings.model_folder)
        settled = {key for key, seen in now.items() if self._last.get(key) == seen}
        self._last = now
        for model, loaded in plan.loaded.items():
            self._met.update({(model, version): now[model, version] for version in loaded if (model, version) in now})
        for model in {model for model, _ in now}:
            newest = max((version for name, version in now if name == model), key=int)
            key = (model, newest)
            greater = int(newest) > int(plan.active.get(model, "-1"))
            if greater and key in settled and self._met.get(key) != now[key]:
                self._met[key] = now[key]
                await self._activate(model, newest)

    async def _activate(self, model: str, version: str) -> None:
        try:
            await self._versions.activate(model, version, keep_previous=False)
        except TwinserveError as error:
            log.warning("new_version_not_activated", model=model, version=version, reason=error.message)


def _prints(root: Path) -> dict[Key, Print]:
    """The versions with a manifest, and how their files are now."""
    return {
        (model, folder.name): seen
        for model, folders in version_folders(root).items()
        for folder in folders
        if (seen := _print(folder)) and MANIFEST_NAME in (name for name, *_ in seen)
    }


def _print(folder: Path) -> Print:
    found = []
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
        try:
            status = (folder / name).stat()
        except OSError:  # it was just removed, or links to something not created yet
            continue
        found.append((name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)
