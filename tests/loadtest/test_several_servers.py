"""Load test, Locust and comparison over two servers: they take turns, are told apart, and must be alike."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import twinserve_loadtest
from support.processes import process_tree
from support.server_process import ServerProcess, wait_until
from support.short_comparison import shorten_comparisons
from twinserve_loadtest.commands import compare as compare_command
from twinserve_loadtest.commands import loadtest as loadtest_command
from twinserve_loadtest.compare.exit_codes import EXIT_CODES
from twinserve_loadtest.record.files import read_record
from twinserve_loadtest.record.spread import summed
from twinserve_loadtest.report import document_of
from twinserve_loadtest.target.describe import describe_target
from twinserve_loadtest.target.error import TargetError
from twinserve_loadtest.target.servers import servers_of

LOCUSTFILE = Path(twinserve_loadtest.__file__).parent / "locust_cli" / "locustfile.py"
LOADTEST = "import sys; sys.argv[0] = 'twinserve loadtest'; from twinserve_loadtest.commands.loadtest import app; app()"
Pair = tuple[ServerProcess, ServerProcess]


@pytest.fixture(scope="module")
def pair(shared_server: ServerProcess, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two servers of the same pair."""
    with ServerProcess(tiny_models, tmp_path_factory.mktemp("second"), "--gateways", "1") as second:
        yield shared_server, second


def both(servers: Pair) -> list[str]:
    """The servers, once as a list and once one by one, with their metrics."""
    urls = [f"http://127.0.0.1:{server.metrics_port}" for server in servers]
    return [
        "--target",
        ",".join(server.target for server in servers),
        "--metrics-url",
        urls[0],
        "--metrics-url",
        urls[1],
    ]


def start(models: Path, output: Path, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LOADTEST, "--models", str(models), "--output", str(output), *flags]
    environment = {**os.environ, "COLUMNS": "220"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def counted(server: ServerProcess, variant: str) -> float:
    return server.metric("twinserve_requests_total", variant=variant, code="OK")


def test_a_load_test_spreads_evenly_and_says_how(pair: Pair, tiny_models: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    before = {server.target: counted(server, "int8") for server in pair}
    flags = ("--mode", "open", "--rate", "100", "--duration", "1", "--variants", "int8")
    place = ("--models", str(tiny_models), "--output", str(output))
    ended = CliRunner().invoke(loadtest_command.app, [*both(pair), *flags, *place], env={"COLUMNS": "220"})
    assert ended.exit_code == 0, ended.output
    record = read_record(output)
    assert record.servers == [server.target for server in pair]
    arm = record.runs["open"].arms["int8"]
    shares = {server: share.requests for server, share in arm.servers.items()}
    assert sum(shares.values()) == arm.requests
    # They take turns in each of the two blocks.
    assert max(shares.values()) - min(shares.values()) <= 2
    for server in pair:
        # Each has counted what it was sent, and half of the warm-up.
        grown = counted(server, "int8") - before[server.target]
        assert grown == shares[server.target] + arm.warm_up_requests / 2
        assert server.target in ended.stdout
    assert "Requests by server" in ended.stdout
    memory = record.model.variants["int8"].memory
    assert memory is not None
    assert memory.resident_pss is not None
    of_one = pair[0].metric("twinserve_model_resident_bytes", kind="pss", variant="int8")
    assert memory.resident_pss > 1.5 * of_one
    assert document_of(record, "results.json").section("servers").figures


def test_locust_takes_a_list_as_its_host(pair: Pair, tiny_models: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    command = [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless"),
        *("--host", ",".join(server.target for server in pair)),
        *(
            "--twin-mode",
            "accuracy",
            "--twin-batch",
            "8",
            "--twin-testset",
            str(tiny_models / "tiny"),
            "--twin-results",
            str(output),
        ),
    ]
    environment = {**os.environ, "GEVENT_BACKEND": "select"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    shares = summed(arm.servers for arm in read_record(output).runs["accuracy"].arms.values())
    assert set(shares) == {server.target for server in pair}


def test_a_server_that_dies_in_a_load_test_is_named(
    pair: Pair, serve: Callable[..., ServerProcess], tiny_models: Path, tmp_path: Path
) -> None:
    victim = serve(tiny_models, "--gateways", "1")
    output = tmp_path / "results.json"
    target = ("--target", pair[0].target, "--target", victim.target)
    process = start(tiny_models, output, *target, "--mode", "closed", "--duration", "60", "--variants", "int8")
    wait_until(lambda: counted(victim, "int8") > 300, 60)
    for member in process_tree(victim):
        member.kill()
    out, err = process.communicate(timeout=90)
    assert process.returncode == 1, err
    record = read_record(output)
    assert record.missing[0].text.startswith(f"The test ended early: no request was answered by {victim.target} for ")
    (failed,) = (remark.text for remark in record.caveats if remark.code == "server_failed")
    assert failed.startswith(f"{victim.target} failed ")
    assert "the figures do not describe 2 working servers" in " ".join(out.split())
    assert "Traceback" not in out + err


def test_a_comparison_takes_both(
    pair: Pair, tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_comparisons(monkeypatch)
    output = tmp_path / "compare.json"
    options = [*both(pair), "--models", str(tiny_models), "--output", str(output), "--quick"]
    result = CliRunner().invoke(compare_command.app, ["fp32", "int8", *options])
    assert result.exit_code in EXIT_CODES.values(), result.output
    record = read_record(output)
    assert record.missing == []
    for arm in record.runs["single-stream"].arms.values():
        shares = [share.requests for share in arm.servers.values()]
        assert len(shares) == 2
        assert max(shares) - min(shares) <= arm.blocks
        assert arm.cpu_seconds_per_1000_images
    blocks = record.runs["single-stream"].blocks
    # Request by request, both arms of a pair met the same server.
    spread = {
        (block.plan.phase, block.plan.pair, block.plan.role): {
            server: share.requests for server, share in block.servers.items()
        }
        for block in blocks
    }
    assert all(spread[phase, number, "baseline"] == spread[phase, number, "candidate"] for phase, number, _ in spread)
    assert "Requests by server" in result.output


def test_a_server_that_dies_in_a_comparison_leaves_no_verdict(
    pair: Pair,
    serve: Callable[..., ServerProcess],
    tiny_models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    victim = serve(tiny_models, "--gateways", "1")
    tree = process_tree(victim)
    output = tmp_path / "compare.json"
    shorten_comparisons(monkeypatch, 60.0)

    def kill() -> None:
        wait_until(lambda: counted(victim, "int8") > 100, 60)
        for member in tree:
            member.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    # Gates that any result would pass, but for the death.
    options = ["--target", pair[0].target, "--target", victim.target, "--min-speedup", "p50=0.001", "--quick"]
    arguments = ["fp32", "int8", *options, "--models", str(tiny_models), "--output", str(output), "--json"]
    result = CliRunner().invoke(compare_command.app, arguments)
    killer.join()
    assert result.exit_code == EXIT_CODES["NOT ENOUGH EVIDENCE"], result.output
    record = read_record(output)
    assert not record.complete
    (lost,) = (remark.text for remark in record.missing if remark.code == "server_lost")
    assert victim.target in lost
    assert record.comparison is not None
    assert {gate.outcome for gate in record.comparison.verdict.gates} == {"undecided"}


def test_servers_of_different_artefacts_are_refused(
    pair: Pair, odd_models: Path, serve: Callable[..., ServerProcess]
) -> None:
    other = serve(odd_models, "--gateways", "1", "--variants", "fp32,swapped")
    told = rf"^{pair[0].target} and {other.target} serve tiny with different variants \(.*int8 .* and .*swapped"
    with pytest.raises(TargetError, match=told):
        describe_target(servers_of(f"{pair[0].target},{other.target}"), None, ["fp32"])
