"""Takes RPCs off the wire and sends the responses."""
