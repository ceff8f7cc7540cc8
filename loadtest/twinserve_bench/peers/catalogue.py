"""The peers: what each needs, how it is started, how it is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
#: Every environment has this torch, installed first, so that no peer installs another.
TORCH = "torch==2.13.0"


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer.

    Attributes:
        name: also the name of its folder and its environment.
        packages: what pip installs after torch.
        grpc: asked by the Open Inference Protocol over gRPC; else by HTTP/1.1 with raw bodies.
        url_path: of the HTTP endpoint.
        base64: HTTP bodies are JSON with base64 inside, as it takes no raw bodies.
        listed: its JSON holds a list of base64 texts, here of one.
        configuration: in words, for the table.
    """

    name: str
    packages: tuple[str, ...]
    configuration: str
    grpc: bool = True
    url_path: str = "/"
    base64: bool = False
    listed: bool = False

    def environment(self, home: Path) -> Path:
        """Its virtual environment."""
        return home / self.name

    def python(self, home: Path) -> str:
        """Its interpreter."""
        return str(self.environment(home) / "bin" / "python")

    def install(self, home: Path) -> None:
        """Make its environment, if it is not there."""
        folder = self.environment(home)
        if (folder / "installed").exists():
            return
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [self.python(home), "-m", "pip", "install", "--disable-pip-version-check"]
        constraints = folder / "constraints.txt"
        constraints.write_text(TORCH + "\n")
        subprocess.run([*pip, TORCH, "numpy"], check=True)
        subprocess.run([*pip, "-c", str(constraints), *self.packages], check=True)
        (folder / "installed").touch()

    def command(self, home: Path, work: Path, port: int) -> tuple[list[str], dict[str, str]]:
        """The command that serves on ``port`` and the environment variables it needs."""
        return _COMMANDS[self.name](self, home, work, port)


def _triton(peer: Peer, home: Path, work: Path, port: int) -> tuple[list[str], dict[str, str]]:
    site = next(peer.environment(home).glob("lib/python*/site-packages"))
    server = site / "pytriton" / "tritonserver"
    # The stub that embeds Python must match this Python's version and lie next to the backend.
    backends = work / "backends"
    shutil.copytree(server / "backends", backends, dirs_exist_ok=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = next((server / "python_backend_stubs" / version).rglob("triton_python_backend_stub"))
    shutil.copy(stub, backends / "python")
    repository = work / "repository"
    shutil.copytree(HERE / "triton", repository, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    libraries = [str(path) for path in site.glob("*.libs")]
    python_home = Path(sys.base_prefix) / "lib"
    variables = {
        "PEER_PATH": f"{site}:{HERE}",
        "LD_LIBRARY_PATH": ":".join([*libraries, str(python_home), os.environ.get("LD_LIBRARY_PATH", "")]),
    }
    return [
        str(server / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        f"--grpc-port={port}",
        f"--http-port={port + 1}",
        f"--metrics-port={port + 2}",
        "--grpc-address=127.0.0.1",
        "--http-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
    ], variables


def _torchserve(peer: Peer, home: Path, work: Path, port: int) -> tuple[list[str], dict[str, str]]:
    binaries = peer.environment(home) / "bin"
    subprocess.run(
        [
            *(str(binaries / "torch-model-archiver"), "--model-name", "mnist_int8", "--version", "1.0", "--force"),
            *("--handler", str(HERE / "torchserve" / "handler.py"), "--export-path", str(work)),
        ],
        check=True,
        capture_output=True,
    )
    text = (HERE / "torchserve" / "config.properties.in").read_text().replace("@PORT@", str(port))
    for offset in (1, 2, 3, 4):
        text = text.replace(f"@PORT{offset}@", str(port + offset))
    (work / "config.properties").write_text(text)
    command = [
        *(str(binaries / "torchserve"), "--start", "--foreground", "--disable-token-auth", "--enable-model-api"),
        *("--model-store", str(work), "--ts-config", str(work / "config.properties"), "--ncs"),
        *("--log-config", str(HERE / "torchserve" / "log4j2.xml")),
    ]
    return command, {"PATH": f"{binaries}:{os.environ['PATH']}", "PEER_COMMON": str(HERE), "LOG_LOCATION": str(work)}


def _kserve(peer: Peer, home: Path, work: Path, port: int) -> tuple[list[str], dict[str, str]]:  # noqa: ARG001
    serve = str(HERE / "kserve" / "serve.py")
    return [peer.python(home), serve, f"--http_port={port + 1}", f"--grpc_port={port}"], {"KSERVE_LOGLEVEL": "WARNING"}


def _mlserver(peer: Peer, home: Path, work: Path, port: int) -> tuple[list[str], dict[str, str]]:
    model = work / "mnist_int8"
    shutil.copytree(HERE / "mlserver" / "mnist_int8", model, dirs_exist_ok=True)
    text = (HERE / "mlserver" / "settings.json.in").read_text().replace("@PORT@", str(port + 1))
    (work / "settings.json").write_text(text.replace("@PORT1@", str(port)).replace("@PORT2@", str(port + 2)))
    command = [str(peer.environment(home) / "bin" / "mlserver"), "start", str(work)]
    return command, {"PEER_COMMON": str(HERE), "PYTHONPATH": str(model)}


def _ray(peer: Peer, home: Path, work: Path, port: int) -> tuple[list[str], dict[str, str]]:  # noqa: ARG001
    variables = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
    }
    return [peer.python(home), str(HERE / "ray" / "serve.py"), f"--port={port}"], variables


def _litserve(peer: Peer, home: Path, work: Path, port: int) -> tuple[list[str], dict[str, str]]:  # noqa: ARG001
    return [peer.python(home), str(HERE / "litserve" / "serve.py"), f"--port={port}"], {}


def _bentoml(peer: Peer, home: Path, work: Path, port: int) -> tuple[list[str], dict[str, str]]:
    command = [str(peer.environment(home) / "bin" / "bentoml"), "serve", "service:Mnist", "--working-dir"]
    command += [str(HERE / "bentoml"), "--host", "127.0.0.1", "--port", str(port)]
    variables = {"PEER_COMMON": str(HERE), "BENTOML_HOME": str(work), "BENTOML_DO_NOT_TRACK": "True"}
    return command, variables


_COMMANDS = {
    "triton": _triton,
    "torchserve": _torchserve,
    "kserve": _kserve,
    "mlserver": _mlserver,
    "ray": _ray,
    "litserve": _litserve,
    "bentoml": _bentoml,
}

PEERS = (
    Peer("triton", ("nvidia-pytriton>=0.7,<0.8",), "python backend, dynamic batching, 2 instances"),
    Peer(
        "torchserve",
        ("torchserve==0.12.0", "torch-model-archiver", "setuptools<81", "pyyaml", "psutil", "requests"),
        "1 worker, batch 32, delay 1 ms, HTTP",
        grpc=False,
        url_path="/predictions/mnist_int8",
    ),
    Peer("kserve", ("kserve",), "model in a pool of 2 threads"),
    Peer("mlserver", ("mlserver>=1.7,<1.8", "uvloop<0.22"), "2 parallel workers, batch 32, 1 ms"),
    Peer("ray", ("ray[serve]",), "1 replica, @serve.batch 32, 1 ms, HTTP", grpc=False),
    Peer(
        "litserve",
        ("litserve>=0.2.19,<0.3",),
        "1 worker, batch 32, 1 ms, JSON over HTTP",
        grpc=False,
        url_path="/predict",
        base64=True,
    ),
    Peer(
        "bentoml",
        ("bentoml>=1.4,<1.5",),
        "1 worker, adaptive batches to 32, JSON over HTTP",
        grpc=False,
        url_path="/predict",
        base64=True,
        listed=True,
    ),
)
