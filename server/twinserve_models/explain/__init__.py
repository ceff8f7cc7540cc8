"""``twinserve models explain``: where, layer by layer, an INT8 variant loses what the FP32 variant has.

``twins`` says what is asked of a pair of artefacts; ``torchscript`` answers it by looking on while TorchScript runs,
``onnx`` for ONNX files, whose graphs ``qdq`` reads and makes steerable.
``measure`` asks, over test images; ``calibrate`` finds ranges anew for the sweep; ``findings`` is what comes out, as
JSON values; ``advice`` says what to do; ``table`` and ``picture`` show it; ``command`` is the way there and back.
"""
