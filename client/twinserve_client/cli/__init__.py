"""The ``twinserve`` command: its root, and the commands that need only the SDK."""
