"""Queues, batches, routing, feedback: knows neither gRPC nor Prometheus nor torch."""
