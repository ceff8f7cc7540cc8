"""The load test under Locust's own command line, with its web page, ``--processes`` and ``--master/--worker``.

    locust -f loadtest/twinserve_loadtest/locust_cli/locustfile.py --host 127.0.0.1:8500 --twin-testset models/mnist

``--host`` takes several servers with commas, which then take turns. Options of this test begin with ``--twin-``;
``--users`` is the concurrency of the closed loop. Run it with ``GEVENT_BACKEND=select`` in the environment: gevent's
timers are then exact to microseconds, not milliseconds.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.runners import WorkerRunner

from twinserve_client import TLS
from twinserve_loadtest.generate.session import Session, attach, session_of
from twinserve_loadtest.generate.users import TwinUser
from twinserve_loadtest.loadtest.plan import LOAD_MODES
from twinserve_loadtest.locust_cli.conductor import Conductor
from twinserve_loadtest.locust_cli.distributed import BlockWorker, LocustBlocks
from twinserve_loadtest.locust_cli.shape import BlockShape
from twinserve_loadtest.locust_cli.web import add_page
from twinserve_loadtest.record.testset import TestSetError, load_test_set
from twinserve_loadtest.target.error import TargetError
from twinserve_loadtest.target.servers import Server, servers_of

logger = logging.getLogger(__name__)


def add_options(parser: Any) -> None:
    """The options of this load test, on the command line and in the web page."""
    shown = (
        ("variants", "", "A,B [default: all]"),
        ("rate", "200", "open, mixed: requests per second; step: the first rate"),
        ("duration", "", "Seconds of load per scenario and variant"),
        ("batch", "64", "accuracy, offline: images per request"),
        ("seed", "1", "Seed for arrivals and image order"),
        ("p99-limit-ms", "20", "step: highest p99 allowed"),
    )
    for name, default, text in shown:
        parser.add_argument(f"--twin-{name}", default=default, env_var=_variable(name), help=text)
    parser.add_argument(
        "--twin-mode", default="standard", choices=LOAD_MODES, env_var=_variable("mode"), help="Shape of the load"
    )
    for name, default, text in (
        ("testset", "models/mnist", "Test set: a file, or the model's folder"),
        ("model", "", "Model to test [default: the server's default model]"),
        ("tls-ca", "", "CA certificate of the server (PEM); turns TLS on"),
        ("tls-cert", "", "Client certificate (PEM), if the server requires one"),
        ("tls-key", "", "Private key of the client certificate (PEM)"),
        ("results", "", "File for the raw results (JSON)"),
    ):
        parser.add_argument(
            f"--twin-{name}", default=default, env_var=_variable(name), help=text, include_in_web_ui=False
        )


def wire(environment: Any, **_: object) -> None:
    """Load the test set and give this process its part: worker, or conductor."""
    options = environment.parsed_options
    try:
        test_set = load_test_set(Path(options.twin_testset))
    except TestSetError as error:
        sys.stderr.write(f"Error: {error}; name it with --twin-testset\n")
        sys.exit(2)
    if gevent.get_hub().loop.backend != "select":
        logger.warning("gevent's timers are a millisecond coarse here; set GEVENT_BACKEND=select in the environment")
    try:
        session = Session(_servers(environment), test_set, options.twin_model or None)
    except TargetError as error:
        sys.stderr.write(f"Error: --host: {error}\n")
        sys.exit(2)
    attach(session, environment)
    environment.events.test_start.add_listener(_take_target)
    if isinstance(environment.runner, WorkerRunner):
        BlockWorker(environment)
        return
    conductor = Conductor(environment, LocustBlocks(environment))
    BlockShape.conductor = conductor
    environment.events.test_stopping.add_listener(lambda **_: conductor.interrupt())
    if environment.web_ui is not None:
        add_page(environment.web_ui, conductor)


def _variable(option: str) -> str:
    return f"TWIN_{option.upper().replace('-', '_')}"


def _take_target(environment: Any, **_: object) -> None:
    # The web page may have changed it.
    try:
        session_of(environment).servers = _servers(environment)
    except TargetError as error:
        session_of(environment).servers = []  # rather none than those of the test before
        logger.error("--host: %s", error)  # noqa: TRY400  # the text is for users


def _servers(environment: Any) -> list[Server]:
    host = str(environment.host or TwinUser.host)
    options = environment.parsed_options
    tls = TLS(options.twin_tls_ca or None, options.twin_tls_cert or None, options.twin_tls_key or None)
    target = host.removeprefix("grpc://").removeprefix("http://").rstrip("/")
    return servers_of(target, tls if tls != TLS() else None)


events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]
events.init.add_listener(wire)  # type: ignore[no-untyped-call]
