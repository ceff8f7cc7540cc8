"""Model folders made from what other servers serve.

``mar``, ``triton`` (with ``pbtxt``) and ``mlserver`` each read one foreign form into a ``Source``; ``trial`` runs its
file once where the form leaves something open; ``frame`` writes the model folder, whole or not at all, once it has
passed the server's own checks. ``command`` is what the sub-commands do.
"""
