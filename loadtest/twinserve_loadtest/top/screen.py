"""Reads the metrics again and again for `twinserve top`, and keeps the screen current."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from rich.live import Live
from rich.text import Text

from twinserve_loadtest.target.metrics import MetricsError
from twinserve_loadtest.top.change import Reading
from twinserve_loadtest.top.variants import figures, shares, take
from twinserve_loadtest.top.view import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from twinserve_loadtest.top.variants import ServerFigures

#: Readings that a figure spans: of one interval alone, a p99 jumps about.
SPAN: Final = 5


class Watch:
    """The last readings of each server.

    Raises:
        MetricsError: those of one cannot be read at the start.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._readings = {url: deque([take(url)], maxlen=SPAN + 1) for url in urls}

    @property
    def where(self) -> str:
        """What is watched, in words."""
        return self._urls[0] if len(self._urls) == 1 else f"{len(self._urls)} servers"

    def figures(self, *, waiting: bool = False) -> ServerFigures:
        """Read all again; what went on since the oldest readings.

        Args:
            waiting: a server that does not answer is left out, as long as another one does.

        Raises:
            MetricsError: one, or with ``waiting`` all, cannot be read.
        """
        spans: dict[str, tuple[Reading, Reading]] = {}
        for number, (url, readings) in enumerate(self._readings.items(), 1):
            try:
                readings.append(take(url))
            except MetricsError:
                if not waiting or (number == len(self._readings) and not spans):
                    raise
            else:
                spans[url] = (readings[0], readings[-1])
        found = figures(*spans.values())
        return replace(found, servers=shares(self._urls, spans)) if len(self._urls) > 1 else found


def print_once(urls: Sequence[str], interval: float, console: Console) -> None:
    """Print what goes on during one interval.

    Raises:
        MetricsError: the metrics cannot be read.
    """
    watched = Watch(urls)
    time.sleep(interval)
    console.print(render(watched.figures(), watched.where))


def print_json(urls: Sequence[str], interval: float, console: Console) -> None:
    """Print the same as JSON.

    Raises:
        MetricsError: the metrics cannot be read.
    """
    watched = Watch(urls)
    time.sleep(interval)
    text = json.dumps(asdict(watched.figures()), indent=1)
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def watch(urls: Sequence[str], interval: float, console: Console) -> None:
    """Show the last readings until Ctrl-C. A server that goes away is waited for.

    Raises:
        MetricsError: the metrics cannot be read at the start.
    """
    watched = Watch(urls)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            live.update(Text(f"reading {watched.where} …"), refresh=True)
            while True:
                time.sleep(interval)
                try:
                    found = watched.figures(waiting=True)
                except MetricsError as error:
                    live.update(Text(f"{error}\nwaiting for it …", style="yellow"), refresh=True)
                else:
                    live.update(render(found, watched.where), refresh=True)
        except KeyboardInterrupt:
            return
