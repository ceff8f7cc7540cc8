"""``python -m twinserve_server``: the same as ``twinserve serve``."""

from twinserve_server.cli import app

if __name__ == "__main__":
    app(prog_name="twinserve serve")
