"""Fixtures that several packages' tests share."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.server_process import ServerProcess
from support.tiny_model import make_tiny_models
from twinserve_bench import foreign_clients, perf_analyzer
from twinserve_bench.certificates import make_certificates
from twinserve_host.cores import usable_cores
from twinserve_host.gpu import gpus

#: Where the tests find the full MNIST when MNIST_ROOT does not say.
if "MNIST_ROOT" not in os.environ and (shared := Path(__file__).parents[2] / "shared" / "mnist").is_dir():
    os.environ["MNIST_ROOT"] = str(shared)

#: Where make demo builds its model; that of the full MNIST takes minutes, so no test builds it.
MODELS = Path(os.environ.get("MODELS", Path(__file__).parents[1] / "models")).resolve()

#: Where Debian's dataset-fashion-mnist lies.
FASHION = Path("/usr/share/datasets/fashion-mnist")

#: More would disturb each other's measurements, however many cores there are.
MOST_WORKERS = 4

#: The longest module begins first: as the last it would keep one worker busy while the others wait.
LONGEST = "test_conformance.py"

#: What a marker's tests need, and how to get it.
TOOLS = {
    "browser": ("chromium", "apt-get install chromium"),
    "prometheus": ("promtool", "apt-get install prometheus"),
    "tls": ("openssl", "apt-get install openssl"),
    "kubernetes": ("kubectl", "any recent one"),
    "h2load": ("h2load", "apt-get install nghttp2-client"),
    "systemd": ("systemd-analyze", "apt-get install systemd"),
}


def gpu_is_usable() -> bool:
    """Whether a driver, its GPU, and a torch that suits them are here."""
    if not gpus():
        return False
    import torch

    return bool(torch.cuda.is_available())


def missing_tools() -> dict[str, str]:
    """Markers whose tests cannot run here, and what to do about it."""
    missing = {
        marker: f"{program} is not installed ({hint})"
        for marker, (program, hint) in TOOLS.items()
        if shutil.which(program) is None
    }
    root = os.environ.get("MNIST_ROOT", "")
    if not (Path(root) / "MNIST" / "raw" / "t10k-images-idx3-ubyte").is_file():
        missing["mnist"] = "the full MNIST is not in MNIST_ROOT"
    if not _is_full(MODELS / "mnist" / "1" / "manifest.json"):
        missing["full_model"] = f"no model of all of MNIST is in {MODELS} (MNIST_ROOT=... make demo)"
    if not gpu_is_usable():
        missing["gpu"] = "there is no CUDA device that torch can use"
    if not FASHION.is_dir():
        missing["fashion"] = "Fashion-MNIST is not installed (apt-get install dataset-fashion-mnist)"
    if not perf_analyzer.is_installed():
        missing["perf_analyzer"] = "it is not installed (python -m twinserve_bench.perf_analyzer --install)"
    if not foreign_clients.are_installed():
        missing["foreign_clients"] = "they are not installed (python -m twinserve_bench.foreign_clients --install)"
    try:
        subprocess.run(["unshare", "--mount", "setpriv", "--no-new-privs", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        missing["namespaces"] = "a mount namespace cannot be made here (root and util-linux)"
    return missing


def _is_full(manifest: Path) -> bool:
    """Whether a model was trained on all of MNIST, and as long as meant."""
    try:
        stated = json.loads(manifest.read_bytes())
        return bool(stated["dataset"]["full"]) and not stated["training"].get("reduced")
    except (OSError, ValueError, KeyError):
        return False


def pytest_configure() -> None:
    """A job in the background ignores SIGINT, under nohup SIGHUP, and so would every program that is tested."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Workers of ``make test``: one more than cores, since tests spend a fifth of their time waiting."""
    return min(usable_cores() + 1, MOST_WORKERS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose tools are not here, which the summary names, and order the rest."""
    for item in items:
        if "certificates" in getattr(item, "fixturenames", ()):
            item.add_marker("tls")
    missing = missing_tools()
    out = [item for item in items if any(item.get_closest_marker(marker) for marker in missing)]
    if out:
        gone = set(out)
        items[:] = [item for item in items if item not in gone]
        config.hook.pytest_deselected(items=out)
    items.sort(key=lambda item: item.path.name != LONGEST)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and why."""
    for marker, why in missing_tools().items():
        terminalreporter.write_line(f"left out: tests marked {marker!r}: {why}", yellow=True)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with the tiny pair: fp32, int8; as ONNX files, which are served sooner."""
    return make_tiny_models(tmp_path_factory.mktemp("models"), runtime="onnx")


@pytest.fixture(scope="session")
def full_models() -> Path:
    """The model folder of tests marked ``full_model``; they must leave it as it is."""
    return MODELS


@pytest.fixture(scope="session")
def torchscript_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as TorchScript files."""
    return make_tiny_models(tmp_path_factory.mktemp("torchscript"))


@pytest.fixture(scope="session")
def odd_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with variants that misbehave on purpose: fp32, swapped, slow, fragile; as ONNX files."""
    return make_tiny_models(tmp_path_factory.mktemp("odd"), ("fp32", "swapped", "slow", "fragile"), runtime="onnx")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority's certificate, and those of a server on this machine and of a client."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers for one test: ``serve(models, *flags)``."""
    with ExitStack() as stack:
        count = iter(range(100))

        def start(models: Path, *flags: str) -> ServerProcess:
            return stack.enter_context(ServerProcess(models, tmp_path / f"server-{next(count)}", *flags))

        yield start


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """One server of the tiny pair for a module's tests; they must leave it as it was.

    A module may give it a transport: ``pytestmark = pytest.mark.parametrize("server", TRANSPORTS, indirect=True)``.
    """
    flags = ("--gateways", "2", "--transport", getattr(request, "param", "auto"))
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("server"), *flags) as process:
        yield process
