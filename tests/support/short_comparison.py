"""``twinserve compare`` within seconds: every kind of block, each as short as can be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from twinserve_loadtest.commands.outcome import run_compare
from twinserve_loadtest.compare.command import CompareOrder
from twinserve_loadtest.compare.measurements import ExperimentSettings
from twinserve_loadtest.compare.sizing import Sizes

SIZES = Sizes(single_stream_s=0.02, server_s=0.05, offline_s=0.02, images_per_request=16)


def shortened(settings: ExperimentSettings, seconds: float = 2.0) -> ExperimentSettings:
    """The same experiment for a test: it ends within ``seconds``, which the command line does not allow."""
    return replace(settings, seconds=seconds, least_units=2, sizes=SIZES)


def shorten_comparisons(monkeypatch: pytest.MonkeyPatch, seconds: float = 2.0) -> None:
    """Let ``twinserve compare``, called in this process, end within ``seconds``."""

    def run_shortly(order: CompareOrder, *rest: Any) -> int:
        return run_compare(replace(order, settings=shortened(order.settings, seconds)), *rest)

    monkeypatch.setattr("twinserve_loadtest.commands.outcome.run_compare", run_shortly)
