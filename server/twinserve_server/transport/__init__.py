"""Receives RPCs from the wire and sends the responses."""
