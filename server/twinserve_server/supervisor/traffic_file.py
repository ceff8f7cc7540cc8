"""Traffic policies in a file: read completely or not at all, and re-read when its content changes.

The content is compared, not the time: a ConfigMap is changed by switching a symlink, which leaves the times of old and
new files in no particular order, and rewriting a file with the same content changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any, Final

from twinserve_server.artefact.strict_json import parse_json
from twinserve_server.engine.router import ShadowPolicy, TrafficPolicy
from twinserve_server.errors import ArtefactError, InvalidInputError, TwinserveError, shown

MAX_BYTES: Final = 1 << 20
EXAMPLE: Final = '{"generation": 1, "models": {"mnist": {"weights": {"fp32": 0.9, "int8": 0.1}}}}'


class TrafficFileError(TwinserveError):
    """The traffic file cannot be used; the message names the file, the field and what is expected."""

    reason = "TRAFFIC_FILE"


class TrafficFile:
    """The policies of a file, by model."""

    def __init__(self, path: Path, names: Callable[[], Mapping[str, Set[str]]]) -> None:
        """Read the file.

        Args:
            path: of the file, or of a symlink to it.
            names: the names that a policy may currently use, by model.

        Raises:
            TrafficFileError: it cannot be used.
        """
        self.path = path
        self._names = names
        #: The content read last, valid or not; None: it could not be read.
        self._seen: bytes | str | None = None
        #: What is in force.
        self._content = b""
        self.generation = 0
        self.policies: dict[str, TrafficPolicy] = {}
        #: Whether the file's current content is in force.
        self.good = False
        self.refresh()

    def refresh(self) -> bool:
        """Read the file; returns whether the policies in force have changed.

        Raises:
            TrafficFileError: it has changed and cannot be used; the policies stay as they were. Raised once per change.
        """
        try:
            with self.path.open("rb") as file:
                content: bytes | str = file.read(MAX_BYTES + 1)
        except OSError as error:
            content = f"cannot be read ({error.strerror})"
        if content == self._seen:
            return False
        self._seen, self.good = content, False
        if isinstance(content, str):
            raise TrafficFileError(f"{self.path}: {content}")
        if content == self._content:
            # A bad one was taken back.
            self.good = True
            return False
        generation, policies = self._parsed(content)
        if self._content and generation == self.generation:
            raise TrafficFileError(
                f"{self.path}: generation: is still {generation}, but the content has changed; give every change a new "
                "number, which tells the servers that have applied it from those that have not"
            )
        self._content, self.generation, self.policies, self.good = content, generation, policies, True
        return True

    def _parsed(self, content: bytes) -> tuple[int, dict[str, TrafficPolicy]]:
        if len(content) > MAX_BYTES:
            raise TrafficFileError(f"{self.path}: holds more than {MAX_BYTES} bytes")
        try:
            document = _Fields(parse_json(content, str(self.path)), str(self.path))
        except ArtefactError as error:
            raise TrafficFileError(f"{error.message}; it looks like {EXAMPLE}") from None
        generation = document.take("generation")
        if type(generation) is not int or generation < 1:
            raise TrafficFileError(f"{self.path}: generation: is {shown(str(generation))}; give a whole number above 0")
        models = _Fields(document.take("models"), f"{self.path}: models")
        document.end()
        policies = {}
        for model in models.names:
            if model not in self._names():
                served = ", ".join(sorted(self._names()))
                raise TrafficFileError(f"{self.path}: models[{shown(model)}]: no such model; served are: {served}")
            policies[model] = self._policy(model, models.take(model), generation)
        return generation, policies

    def _policy(self, model: str, value: Any, generation: int) -> TrafficPolicy:
        where = f"{self.path}: models[{shown(model)}]"
        fields = _Fields(value, where)
        weights = _numbers(fields.take("weights"), f"{where}.weights")
        shadows = _numbers(fields.take("shadows", {}), f"{where}.shadows")
        fields.end()
        try:
            return TrafficPolicy.checked(
                self._names()[model],
                weights,
                tuple(ShadowPolicy(name, share) for name, share in shadows.items()),
                generation,
            )
        except InvalidInputError as error:
            raise TrafficFileError(f"{where}.{error.message.removeprefix('traffic.')}") from None


class _Fields:
    """A JSON object whose fields must all be known."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise TrafficFileError(f"{where}: is {shown(str(value))}, not an object; the file looks like {EXAMPLE}")
        self._left = dict(value)
        self._where = where

    @property
    def names(self) -> list[str]:
        """Of the fields not yet taken."""
        return list(self._left)

    def take(self, name: str, default: Any = None) -> Any:
        """The value of a field; one without a default must be there."""
        if name in self._left:
            return self._left.pop(name)
        if default is None:
            raise TrafficFileError(f"{self._where}: {name} is missing; the file looks like {EXAMPLE}")
        return default

    def end(self) -> None:
        """Nobody takes more."""
        if self._left:
            raise TrafficFileError(f"{self._where}: {shown(next(iter(self._left)))} is unknown; is it a typo?")


def _numbers(value: Any, where: str) -> dict[str, float]:
    fields = _Fields(value, where)
    found = {}
    for name in fields.names:
        number = fields.take(name, 0)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TrafficFileError(f"{where}[{shown(name)}]: is {shown(str(number))}, not a number")
        found[name] = float(number)
    return found
