"""A variant's model process: load, verify and warm the artefact, then answer the batches that gateways send.

Forked by ``fork_server.py`` or, where that is not possible, started as ``python -m twinserve_server.model.process``,
with its configuration on standard input. The process ends when its control line closes. No gRPC.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from twinserve_server.errors import ArtefactError
from twinserve_server.host.standard_error import protect_standard_error
from twinserve_server.ipc.addresses import listen
from twinserve_server.ipc.messages import Failed, Ready, WarmingUp
from twinserve_server.ipc.process_config import ModelProcessConfig, read_config
from twinserve_server.metrics.cells import BatchRecorder
from twinserve_server.metrics.slab import Slab
from twinserve_server.model.batch_server import BatchServer
from twinserve_server.model.cost import measured_cost
from twinserve_server.model.forward import Forward
from twinserve_server.model.reports import Reports
from twinserve_server.model.tensor_forward import forward_of


def load(config: ModelProcessConfig, on_progress: Callable[[int, int], None]) -> Forward:
    """The artefact that ``config`` names, loaded and warm; ``on_progress`` as :class:`Forward` takes it.

    Raises:
        ArtefactError: one line, whatever the reason that it cannot be served.
    """
    variant = config.version.variants[config.variant]
    try:
        return forward_of(config.version)(
            config.version,
            variant,
            config.settings.threads,
            config.max_batch_size,
            config.settings.preferred_batch_sizes,
            on_progress,
        )
    except ArtefactError:
        raise
    except Exception as error:
        # An artefact is a program that may raise anything, and trying again would not help.
        text = " ".join(str(error).split())[:300]
        raise ArtefactError(f"{variant.path}: cannot be served ({type(error).__name__}: {text})") from error


def run(config: ModelProcessConfig, control: socket.socket) -> int:
    """Serve one variant until the control line closes; returns the exit code."""
    if config.cores:
        os.sched_setaffinity(0, config.cores)
    protect_standard_error()
    reports = Reports(control)
    reports.keep_alive()
    try:
        forward = load(config, lambda done, sizes: reports.send(WarmingUp(done, sizes)))
    except ArtefactError as error:
        reports.send(Failed(error.message))
        return 3
    listener = listen(config.address)
    labels = (config.version.model, config.version.version, config.variant)
    recorder = BatchRecorder(Slab(config.slab_fd), labels)
    merge_limit = config.max_batch_size if config.settings.batching else 0
    server = BatchServer(forward, listener, control, merge_limit, recorder, reports)
    facts = forward.facts
    cost = measured_cost(forward.run_blank, config.max_batch_size, forward.warm_limit, facts.added_warm_up_bytes)
    reports.send(Ready(facts, cost))
    with forward.session():
        server.run()
    return 0


if __name__ == "__main__":
    code = run(*read_config(ModelProcessConfig))
    protect_standard_error().finish()
    # Nothing is left to save, and tearing down torch would only delay the exit.
    os._exit(code)
