"""The Open Inference Protocol (version 2) over the same engine: ``inference.GRPCInferenceService``.

A variant is addressed as a model of its own (``mnist_int8``), the routed pair by the model's name (``mnist``).
"""
