"""Convert models of other servers to model folders.

``mar``, ``triton`` (with ``pbtxt``) and ``mlserver`` each read one foreign format into a ``Source``; ``trial`` runs its
file once if the format leaves something open; ``frame`` writes the model folder atomically, once it has passed the
server's own checks. ``command`` implements the sub-commands, ``cli`` declares their options.
"""
