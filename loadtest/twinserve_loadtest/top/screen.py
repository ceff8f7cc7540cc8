"""Reads the metrics again and again for `twinserve top`, and keeps the screen current."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from rich.live import Live
from rich.text import Text

from twinserve_loadtest.target.metrics import MetricsError
from twinserve_loadtest.top.variants import Reading, figures, take
from twinserve_loadtest.top.view import render

if TYPE_CHECKING:
    from rich.console import Console

    from twinserve_loadtest.top.variants import ServerFigures

#: Readings that a figure spans: of one interval alone, a p99 jumps about.
SPAN: Final = 5


def print_once(url: str, interval: float, console: Console) -> None:
    """Print what goes on during one interval.

    Raises:
        MetricsError: the metrics cannot be read.
    """
    console.print(render(_during(url, interval), url))


def print_json(url: str, interval: float, console: Console) -> None:
    """Print the same as JSON.

    Raises:
        MetricsError: the metrics cannot be read.
    """
    console.print(json.dumps(asdict(_during(url, interval)), indent=1), highlight=False, markup=False, soft_wrap=True)


def _during(url: str, interval: float) -> ServerFigures:
    before = take(url)
    time.sleep(interval)
    return figures(before, take(url))


def watch(url: str, interval: float, console: Console) -> None:
    """Show the last readings until Ctrl-C. A server that goes away is waited for.

    Raises:
        MetricsError: the metrics cannot be read at the start.
    """
    readings: deque[Reading] = deque([take(url)], maxlen=SPAN + 1)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            live.update(Text(f"reading {url} …"), refresh=True)
            while True:
                time.sleep(interval)
                try:
                    readings.append(take(url))
                except MetricsError as error:
                    live.update(Text(f"{error}\nwaiting for it …", style="yellow"), refresh=True)
                else:
                    live.update(render(figures(readings[0], readings[-1]), url), refresh=True)
        except KeyboardInterrupt:
            return
