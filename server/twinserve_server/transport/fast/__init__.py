"""A transport on gRPC core's own completion queue."""
