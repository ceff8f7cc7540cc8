"""A real Prometheus with the committed configuration, scraping one server every second, or as often as told."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from support.server_process import wait_until

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"
READY_SECONDS = 30.0

Labels = dict[str, str]


def tool(name: str) -> str:
    """Where Debian's ``prometheus`` or ``promtool`` lies.

    Raises:
        FileNotFoundError: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"{name} is not installed: apt-get install prometheus")
    return path


class PrometheusProcess:
    """Starts on entry and waits until it answers; ends on exit."""

    def __init__(self, metrics_port: int, scratch: Path, seconds: int = 1) -> None:
        """``seconds``: between scrapes, and the most that one may take."""
        scratch.mkdir(parents=True, exist_ok=True)
        self._scratch = scratch
        config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text("utf-8"))
        config["global"] |= dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{seconds}s")
        config["rule_files"] = [str(DEPLOY / pattern) for pattern in config["rule_files"]]
        config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{metrics_port}"]}]
        (scratch / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")

    def __enter__(self) -> PrometheusProcess:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [
            tool("prometheus"),
            f"--config.file={self._scratch / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._scratch / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
        ]
        self._log = self._scratch / "prometheus.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._ready, READY_SECONDS, lambda: self._log.read_text(errors="replace"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def query(self, expr: str) -> list[tuple[Labels, float]]:
        """The samples that ``expr`` gives now."""
        result = self.api("query", query=expr)["result"]
        if result and isinstance(result[0], int | float):
            return [({}, float(result[1]))]
        return [(found["metric"], float(found["value"][1])) for found in result]

    def value(self, expr: str) -> float:
        """The one sample of ``expr``; 0 when there is none."""
        found = self.query(expr)
        assert len(found) <= 1, f"{expr}: {found}"
        return found[0][1] if found else 0.0

    def wait_for_scrape(self) -> None:
        """Return when a scrape that began after this call is stored."""
        begun = time.time()
        wait_until(lambda: self.value('min(timestamp(up{job="twinserve"}))') > begun, 120)

    def api(self, endpoint: str, **params: str) -> Any:
        """The data of an answer of the HTTP API."""
        with urlopen(f"{self.url}/api/v1/{endpoint}?{urlencode(params)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def _ready(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"prometheus ended:\n{self._log.read_text(errors='replace')}")
        try:
            with urlopen(f"{self.url}/-/ready", timeout=1) as answer:
                return int(answer.status) == 200
        except (URLError, OSError):
            return False
