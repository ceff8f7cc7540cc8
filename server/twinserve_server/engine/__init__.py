"""Queues, batches, routing, feedback; independent of gRPC, Prometheus and torch."""
