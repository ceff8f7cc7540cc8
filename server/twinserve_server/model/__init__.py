"""The model process: loads one verified artefact, warms it, answers batches. Only its runtime knows how."""

import os

# ONNX Runtime reports its use to Microsoft unless told otherwise, from the moment it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
