"""Tensors as input, as a type checker sees it; read by ``make check`` only: torch has many types to read."""

from __future__ import annotations

from typing import assert_type

import torch

from twinserve_client import Client, Prediction


def tensors(client: Client) -> None:
    assert_type(client.predict(torch.zeros(28, 28)), Prediction)
