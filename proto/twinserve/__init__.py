"""The contract: protobuf messages and gRPC stubs, generated from ``proto/`` at build time."""
