"""Why a server cannot be tested."""


class TargetError(Exception):
    """The server cannot be tested as asked; the message says why and what to do."""
