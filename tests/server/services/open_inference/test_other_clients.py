"""The clients of KServe and of MLServer get from the server what our own client gets.

Neither installs beside ours (protobuf, grpcio): each has an environment of its own,
``python -m twinserve_bench.foreign_clients --install``.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from support.server_process import ServerProcess
from support.tiny_model import classes_of, items
from twinserve_bench.foreign_clients import python
from twinserve_client import Client


@pytest.mark.foreign_clients
@pytest.mark.parametrize("name", ["kserve", "mlserver"])
def test_they_ask_and_infer(server: ServerProcess, name: str) -> None:
    pixels = items(3)
    script = Path(__file__).with_name(f"{name}_client.py")
    command = [str(python(name)), str(script), server.target, "tiny_int8", json.dumps(pixels.tolist())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert (answer["live"], answer["ready"], answer["model_ready"]) == (True, True, True)
    assert answer["id"] == f"of-{name}"
    assert np.ravel(answer["classes"]).tolist() == classes_of(pixels).tolist()
    with Client(server.target) as client:
        ours = client.predict(pixels, variant="int8").probabilities
    # Floats travel whole; only JSON's decimals are between.
    assert np.array_equal(np.asarray(answer["probabilities"], np.float32).reshape(ours.shape), ours)
