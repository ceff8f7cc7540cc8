"""Starts, watches, restarts and stops the processes of a server. No torch, no gRPC."""
