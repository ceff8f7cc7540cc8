"""Convert manifests of version 1 to version 2: the only place that knows both."""

from __future__ import annotations

from typing import Any


def upgraded(manifest: dict[str, Any]) -> dict[str, Any]:
    """Convert a valid manifest of version 1 to version 2.

    Version 1 describes a classifier with one input and unnamed tensors; they get the names under which the Open
    Inference Protocol has always served them.
    """
    labels = manifest["output"]["labels"]
    return {
        **{key: value for key, value in manifest.items() if key != "input"},
        "schema_version": 2,
        "inputs": [{"name": "input", **manifest["input"]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [len(labels)]}],
        "output": {"kind": "classifier", "scores": manifest["output"]["kind"], "labels": labels},
        "variants": {name: _variant(entry) for name, entry in manifest["variants"].items()},
    }


def _variant(entry: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in entry.items() if key != "format"}
    return {**rest, "runtime": entry["format"], "device": "cpu"}
