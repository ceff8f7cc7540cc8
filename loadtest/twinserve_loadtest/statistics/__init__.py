"""Paired differences, bootstrap intervals and sequential looks, with their sources."""
