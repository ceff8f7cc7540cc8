"""The same load under Locust's own command line: one process, and a master with two workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import twinserve_loadtest
from support.server_process import ServerProcess, wait_until
from twinserve_loadtest.record.files import read_record
from twinserve_loadtest.record.measurement import Record

LOCUSTFILE = Path(twinserve_loadtest.__file__).parent / "locust_cli" / "locustfile.py"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def locust(log: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """Locust as a process of its own; ended by its PID."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *flags],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GEVENT_BACKEND": "select", "COLUMNS": "200"},
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)


def counted_by_the_server(server: ServerProcess) -> dict[str, float]:
    """Answered requests by variant."""
    return {v: server.metric("twinserve_requests_total", variant=v, code="OK") for v in ("fp32", "int8")}


def counted_by_locust(record: Record) -> dict[str, float]:
    """Answered requests by variant, those before the clock included."""
    counts = dict.fromkeys(("fp32", "int8"), 0.0)
    for run in record.runs.values():
        for variant, arm in run.arms.items():
            counts[variant] += arm.requests + arm.warm_up_requests
    return counts


def test_a_master_and_two_workers_count_exactly_what_the_server_counts(
    shared_server: ServerProcess, tiny_models: Path, tmp_path: Path
) -> None:
    before = counted_by_the_server(shared_server)
    port = str(free_port())
    common = ["--headless", "--host", shared_server.target, "--twin-testset", str(tiny_models / "tiny")]
    plan = ["--twin-mode", "open", "--twin-duration", "1", "--twin-rate", "150"]
    output = tmp_path / "results.json"
    with ExitStack() as stack:
        master = stack.enter_context(
            locust(
                tmp_path / "master.log",
                *common,
                *plan,
                *("--master", "--master-bind-port", port, "--expect-workers", "2"),
                *("--twin-results", str(output)),
            )
        )
        for number in range(2):
            worker_log = tmp_path / f"worker-{number}.log"
            stack.enter_context(locust(worker_log, *common, "--worker", "--master-port", port))
        code = master.wait(90)
    log = (tmp_path / "master.log").read_text()
    assert code == 0, log
    results = read_record(output)
    after = counted_by_the_server(shared_server)
    counted = counted_by_locust(results)
    assert counted == {variant: after[variant] - before[variant] for variant in before}
    assert min(counted.values()) > 0
    assert "Percentiles, in milliseconds" in log
    for run in results.runs.values():
        for arm in run.arms.values():
            assert arm.latency.count == arm.requests
            assert arm.answers is not None
            assert arm.answers.correct == arm.answers.images
            assert arm.answers.coverage == 1.0


def get(url: str, **form: str) -> Any:
    """A page; posted when there is a form."""
    with urlopen(url, data=urlencode(form).encode() if form else None, timeout=10) as answer:
        text = answer.read().decode()
    return json.loads(text) if "json" in answer.headers["Content-Type"] else text


def answers(url: str) -> bool:
    """Somebody is there."""
    try:
        get(url)
    except (URLError, OSError):
        return False
    return True


def test_the_web_page_shows_latency_and_accuracy_by_variant_live(
    shared_server: ServerProcess, tiny_models: Path, tmp_path: Path
) -> None:
    port = free_port()
    web = f"http://127.0.0.1:{port}"
    flags = ["--web-host", "127.0.0.1", "--web-port", str(port), "--twin-testset", str(tiny_models / "tiny")]
    log = tmp_path / "locust.log"
    with locust(log, *flags, "--twin-duration", "20", "--host", shared_server.target):
        wait_until(lambda: answers(web), 30, log.read_text)
        assert '"extended_tabs"' in get(web)
        assert get(f"{web}/twinserve/data.json")["rows"] == []
        form = {"user_count": "2", "spawn_rate": "2", "host": shared_server.target, "twin_mode": "closed"}
        assert get(f"{web}/swarm", **form)["success"]

        def rows() -> dict[str, Any]:
            return {row["variant"]: row for row in get(f"{web}/twinserve/data.json")["rows"]}

        wait_until(lambda: rows().get("fp32", {}).get("p50") is not None, 30, log.read_text)
        row = rows()["fp32"]
        assert row["scenario"] == "closed"
        assert row["accuracy"] == 100.0
        assert row["curve"][0][1] <= row["p50"] <= row["max"]
        (tab,) = get(f"{web}/stats/requests")["extended_stats"]
        assert tab["data"][0]["variant"] == "fp32"
        assert "Latency and accuracy by variant" in get(f"{web}/twinserve")
        get(f"{web}/stop", stop="1")
        wait_until(lambda: get(f"{web}/twinserve/data.json")["now"] == "ended, incomplete", 15, log.read_text)
    assert "interrupted" in log.read_text()


def test_a_test_set_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    log = tmp_path / "locust.log"
    with locust(log, "--headless", "--twin-testset", str(tmp_path)) as process:
        assert process.wait(30) == 2
    assert "no test set at" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_server_that_is_not_there_is_said_and_ends_the_test(tiny_models: Path, tmp_path: Path) -> None:
    log = tmp_path / "locust.log"
    flags = ["--headless", "--host", f"127.0.0.1:{free_port()}", "--twin-testset", str(tiny_models / "tiny")]
    with locust(log, *flags) as process:
        assert process.wait(60) == 2
    assert "start one with `twinserve serve`" in log.read_text()
    assert "Traceback" not in log.read_text()
