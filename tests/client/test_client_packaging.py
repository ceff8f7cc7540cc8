"""The SDK installs and works with its four dependencies alone."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

from support.digit_server import Server

#: Lets nothing be imported but the standard library, this project's SDK, and what it depends on.
ALONE = """
import sys

ALLOWED = {"numpy", "grpc", "grpc_status", "google", "twinserve", "twinserve_client", "typing_extensions"}

class Strict:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"{name} is not among the SDK's dependencies", name=name)

sys.meta_path.insert(0, Strict())

import numpy as np
from twinserve_client import AsyncClient, Client, NotFoundError, VariantInfo

with Client(sys.argv[1]) as client:
    info = client.wait_until_ready(10)
    print(client.predict(np.zeros(info.item_shape, np.uint8)).label)
    print(len(list(client.predict_stream([np.zeros(info.item_shape)] * 3))))
    try:
        client.send_feedback("never", [1])
    except NotFoundError as error:
        print(error.reason)
"""


def test_the_sdk_depends_on_four_distributions() -> None:
    requires = [line for line in metadata.requires("twinserve") or () if "extra ==" not in line]
    names = {re.split(r"[<>=~!; \[]", line, maxsplit=1)[0] for line in requires}
    assert names == {"numpy", "grpcio", "grpcio-status", "protobuf"}


def test_it_works_with_nothing_else_installed(server: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, server.target], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["zero", "3", "UNKNOWN_REQUEST"]
