"""The process that ``twinserve serve`` becomes on a small machine; reads its settings from standard input."""

import os

from twinserve_server.edge.edge import Edge
from twinserve_server.host.standard_error import protect_standard_error
from twinserve_server.ipc.process_config import read_settings_document
from twinserve_server.serve import run_here
from twinserve_server.telemetry.logs import configure_logging


def main() -> int:
    """Serve until told to stop; returns the exit code of ``twinserve serve``."""
    settings = read_settings_document()
    configure_logging(settings.log_format, settings.log_level, process="edge")
    return run_here(settings, Edge)


if __name__ == "__main__":
    code = main()
    protect_standard_error().finish()
    # As in a model process, there is nothing left to save.
    os._exit(code)
