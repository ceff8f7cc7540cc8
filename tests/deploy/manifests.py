"""The Kubernetes objects as ``kubectl kustomize`` renders them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
RENDERED = ("base", "overlays/monitoring", "overlays/loadtest", "overlays/traffic")


@cache
def render(folder: str) -> list[dict[str, Any]]:
    """Every object of a kustomization."""
    command = ["kubectl", "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(KUBERNETES / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return list(yaml.safe_load_all(done.stdout))


def read(path: str) -> list[dict[str, Any]]:
    """The objects of one file, as written."""
    return list(yaml.safe_load_all((KUBERNETES / path).read_text("utf-8")))


def container(path: str = "base/deployment.yaml") -> dict[str, Any]:
    """The server's container, as written."""
    spec = read(path)[0]["spec"]
    pod = spec["template"]["spec"] if "template" in spec else spec["predictor"]
    found: dict[str, Any] = pod["containers"][0]
    return found
