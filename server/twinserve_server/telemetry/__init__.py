"""Logs, traces, slow-request lines and pushed metrics."""
