"""The Open Inference Protocol; the stubs are made from ``proto/inference/`` at build time."""
