"""A version switched 50 times under load: requests lost, answers that are not their version's, memory that stays."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from twinserve_bench.processes import pss_mib, twinserve
from twinserve_bench.reliability.finding import Finding
from twinserve_bench.reliability.run import Bench
from twinserve_client import Client, TwinserveError
from twinserve_client.types import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

SWITCHES: Final = 50
CALLERS: Final = 8
VARIANT: Final = "int8"
#: After this many switches, each version has been loaded and unloaded, and permanent allocations are made.
SETTLED: Final = 4


def run(bench: Bench) -> list[Finding]:
    """One run, whatever the rounds: each switch is a measurement."""
    with ExitStack() as stack:
        models = stack.enter_context(two_versions(bench.models / "mnist"))
        server = stack.enter_context(twinserve(models, "--profile", "isolated"))
        client = stack.enter_context(Client(f"127.0.0.1:{server.port}", retries=0))
        images = np.load(bench.models / "mnist" / "testset.npz")["images"][:64]
        client.versions.activate(1)
        known = client.predict(images).classes
        load = Load(server.port, images, {"1": known, "2": (known + 1) % 10})
        memory = []
        with load.running():
            for turn in range(SWITCHES):
                load.switch(client, "2" if turn % 2 == 0 else "1")
                if turn % 2:
                    memory.append(pss_mib(server.pid))
    before, after = memory[SETTLED // 2], memory[-1]
    ended = load.ends
    good = sum(ended[version] for version in ("1", "2"))
    lost = sum(ended.values()) - good - ended["wrong"]
    print(f"{good:,} answers by version {ended['1']:,} and {ended['2']:,}; memory {before:.0f} -> {after:.0f} MiB")
    return [
        _finding(f"requests lost of {sum(ended.values()):,}, {SWITCHES} switches", lost, 0),
        _finding("answers that are not their version's", ended["wrong"], 0),
        _finding("memory after, times that before", after / before, 1.1),
    ]


class Load:
    """Callers that ask one image after the other and know what each version answers."""

    def __init__(self, port: int, images: Any, expected: dict[str, Any]) -> None:
        self._target = f"127.0.0.1:{port}"
        self._images = images
        self._expected = expected
        self._stop = threading.Event()
        #: By version, "wrong", or what went wrong.
        self.ends: Counter[str] = Counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask for as long as the block lasts."""
        callers = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for caller in callers:
            caller.start()
        try:
            yield
        finally:
            self._stop.set()
            for caller in callers:
                caller.join()

    def switch(self, client: Client, version: str) -> None:
        """Activate ``version``; return once it has answered."""
        client.versions.activate(version)
        seen = self.ends[version]
        while self.ends[version] == seen:
            self._stop.wait(0.01)

    def _call(self, at: int) -> None:
        with Client(self._target, retries=0, timeout=60) as client:
            while not self._stop.is_set():
                at = (at + 1) % len(self._images)
                try:
                    self.ends[self._judge(at, client.predict(self._images[at]))] += 1
                except TwinserveError as error:
                    self.ends[str(error)] += 1

    def _judge(self, at: int, answer: Prediction) -> str:
        return answer.version if answer.classes[0] == self._expected[answer.version][at] else "wrong"


@contextmanager
def two_versions(model: Path) -> Iterator[Path]:
    """A model folder with the greatest version of ``model`` as version 1, and a version 2 that answers one class on."""
    import torch  # noqa: PLC0415  (loads for seconds, which only this scenario needs)

    class Shifted(torch.nn.Module):
        """Another artefact whose answers are known: class c becomes c + 1."""

        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.roll(self.inner(x), 1, 1)

    latest = max((path for path in model.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    with tempfile.TemporaryDirectory() as root:
        for version in ("1", "2"):
            folder = Path(root) / "mnist" / version
            folder.mkdir(parents=True)
            manifest = json.loads((latest / "manifest.json").read_text("utf-8"))
            entry = manifest["variants"][VARIANT]
            manifest |= {"version": version, "variants": {VARIANT: entry}}
            if version == "1":
                shutil.copy(latest / entry["file"], folder / entry["file"])
            else:
                # As the server runs it: the artefact may need the engine that it was quantised for.
                if entry.get("engine", "none") != "none":
                    torch.backends.quantized.engine = entry["engine"]
                shifted = torch.jit.script(Shifted(torch.jit.load(latest / entry["file"])))
                torch.jit.save(shifted, folder / entry["file"])
            data = (folder / entry["file"]).read_bytes()
            entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
        yield Path(root)


def _finding(what: str, figure: float, bound: float) -> Finding:
    return Finding("switches", what, figure, bound, False, (figure,))
