"""The libraries that run models: installed or not, and whether they load. Each is tried in a separate process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from dataclasses import dataclass
from typing import Any, Final

from twinserve_doctor.finding import Finding
from twinserve_host.python import environment, python

#: Loading torch on a slow, busy machine takes a minute.
SECONDS: Final = 180.0

_TORCH: Final = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({
    "version": torch.__version__,
    "engines": torch.backends.quantized.supported_engines,
    "kernels": torch.backends.cpu.get_cpu_capability(),
    "onednn": torch.backends.mkldnn.is_available(),
    "cuda": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if cuda else [],
}))
"""
_ONNXRUNTIME: Final = """
import json, onnxruntime
print(json.dumps({"version": onnxruntime.__version__, "providers": onnxruntime.get_available_providers()}))
"""


@dataclass(frozen=True, slots=True)
class Library:
    """A library that runs models."""

    module: str
    extra: str
    program: str


LIBRARIES: Final = (Library("torch", "torchscript", _TORCH), Library("onnxruntime", "onnx", _ONNXRUNTIME))


def examine_library(library: Library) -> Finding:
    """Load ``library`` and say which version it is; ``facts["version"]`` is None where it cannot be used."""
    name = library.module
    if importlib.util.find_spec(name) is None:
        advice = f"for artefacts of format {library.extra!r}: pip install 'twinserve[{library.extra}]'"
        return Finding(name, "note", "not installed", advice, {"version": None})
    again = f"reinstall it: pip install --force-reinstall 'twinserve[{library.extra}]'"
    try:
        ran = subprocess.run(
            python("-c", library.program),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=environment(),
        )
    except subprocess.TimeoutExpired:
        return Finding(name, "fault", f"did not load within {SECONDS:g} s", again, {"version": None})
    if ran.returncode:
        # On a processor that lacks the instructions it was built for, it dies by a signal.
        last = (ran.stderr.strip().splitlines() or [f"ended by signal {-ran.returncode}"])[-1]
        return Finding(name, "fault", f"installed, but does not load: {last[:200]}", again, {"version": None})
    facts: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return Finding(name, "ok", _told(facts), facts=facts)


def _told(facts: dict[str, Any]) -> str:
    if "providers" in facts:
        return f"{facts['version']}; {', '.join(facts['providers'])}"
    engines = ", ".join(engine for engine in facts["engines"] if engine != "none")
    onednn = "with" if facts["onednn"] else "without"
    return f"{facts['version']}; quantised engines {engines}; kernels for {facts['kernels']}, {onednn} oneDNN"
