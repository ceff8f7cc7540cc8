"""How each fault is done, and what must be so again before the next one comes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twinserve_bench.certificates import sign_certificate
from twinserve_bench.reliability.chaos.callers import Callers
from twinserve_bench.reliability.chaos.schedule import Fault, Step
from twinserve_bench.reliability.chaos.victim import Victim
from twinserve_client import CallError, ProcessStatus
from twinserve_server.access.token_file import create_token, revoke_token

#: What a killed supervisor may leave running, and for how long.
ORPHAN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Whom a fault meets; ``choice`` is the step's."""

    victim: Victim
    callers: Callers
    choice: int


def strike(step: Step, victim: Victim, callers: Callers) -> str:
    """Do what ``step`` says, and wait until the server is whole again; what was done, for the report.

    Raises:
        RuntimeError: the server is not what it was within its time.
    """
    return _HOW[step.fault](Scene(victim, callers, step.choice))


def _signal_one(role: str, number: signal.Signals) -> Callable[[Scene], str]:
    def one(scene: Scene) -> str:
        victim = scene.victim
        among = [process for process in victim.processes() if process.role == role]
        chosen = among[scene.choice % len(among)]
        os.kill(chosen.pid, number)
        victim.until(lambda: _replaced(victim, chosen), f"{chosen.name} is replaced")
        return f"{chosen.name}: replaced"

    return one


def _replaced(victim: Victim, before: ProcessStatus) -> bool:
    try:
        now = next((process for process in victim.processes() if process.name == before.name), None)
    except CallError:
        return False  # the connection reached the gateway that is being replaced
    return now is not None and now.ready and now.pid != before.pid


def _rotate_tokens(scene: Scene) -> str:
    victim = scene.victim
    name = f"after-{victim.changes}"
    start = victim.logged()
    secret = create_token(victim.tokens, name, ["admin"])
    victim.until_gateways_say("tokens_read", start)
    before = "first" if not victim.changes else f"after-{victim.changes - 1}"
    victim.token = secret
    victim.changes += 1
    scene.callers.until_all_have_changed()
    start = victim.logged()
    revoke_token(victim.tokens, before)
    victim.until_gateways_say("tokens_read", start)
    return f"{before} revoked, {name} in force"


def _rotate_certificates(scene: Scene) -> str:
    victim = scene.victim
    folder = victim.certificates
    if folder is None:
        return "left out: this transport speaks no TLS"
    sign_certificate(folder, "next")
    start = victim.logged()
    for kind in ("pem", "key"):
        _put(folder / f"next.{kind}", folder / f"server.{kind}")
    victim.until_gateways_say("tls_files_read", start)
    return "a new one in force"


def _put(source: Path, target: Path) -> None:
    partial = target.with_suffix(".new")
    shutil.copy(source, partial)
    partial.replace(target)


def _change_traffic(scene: Scene) -> str:
    victim = scene.victim
    share = scene.choice % 101 / 100
    with victim.operator() as client:
        names = [variant.name for variant in client.describe_model().variants]
        before = client.get_traffic().generation
        traffic = client.set_traffic({names[0]: share, names[-1]: 1 - share})
        if traffic.generation <= before:
            raise RuntimeError(f"the traffic policy has still generation {before}")
    return f"{names[-1]} gets {1 - share:.0%}"


def _start_again(end: Callable[[Victim], str]) -> Callable[[Scene], str]:
    def again(scene: Scene) -> str:
        victim, callers = scene.victim, scene.callers
        with callers.book.outage():
            how = end(victim)
            callers.hold()
            callers.new_account()
            took = victim.start()
            callers.go_on()
            callers.until_answered(2 * callers.count)
        return f"{how}; serving again after {took:.1f} s"

    return again


def _terminate(victim: Victim) -> str:
    start = victim.logged()
    victim.process.send_signal(signal.SIGTERM)
    return _ended(victim, start)


def _terminate_group(victim: Victim) -> str:
    start = victim.logged()
    os.killpg(victim.process.pid, signal.SIGTERM)
    return _ended(victim, start)


def _ended(victim: Victim, start: int) -> str:
    code = victim.process.wait(120)
    said = victim.log(start)
    if code != 0:
        raise RuntimeError(f"after SIGTERM the server ended with {code}:\n{said[-4000:]}")
    # Invisible to callers: the server counts a call when it starts, and again when it ends.
    if "requests_lost" in said:
        raise RuntimeError(f"the server ended with calls that it had begun and not answered:\n{said[-4000:]}")
    return "exit code 0"


def _kill(victim: Victim) -> str:
    pids = victim.pids()
    victim.process.kill()
    victim.process.wait()
    running = "nothing is left running"
    victim.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), running, ORPHAN_SECONDS)
    return running


_HOW: Final[dict[Fault, Callable[[Scene], str]]] = {
    Fault.KILL_GATEWAY: _signal_one("gateway", signal.SIGKILL),
    Fault.KILL_MODEL: _signal_one("model", signal.SIGKILL),
    Fault.STOP_GATEWAY: _signal_one("gateway", signal.SIGSTOP),
    Fault.STOP_MODEL: _signal_one("model", signal.SIGSTOP),
    Fault.ROTATE_TOKENS: _rotate_tokens,
    Fault.ROTATE_CERTIFICATES: _rotate_certificates,
    Fault.CHANGE_TRAFFIC: _change_traffic,
    Fault.TERMINATE: _start_again(_terminate),
    Fault.TERMINATE_GROUP: _start_again(_terminate_group),
    Fault.KILL: _start_again(_kill),
}
