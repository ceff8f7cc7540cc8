"""The model process: loads one verified artefact, warms it and answers batches, by means of a runtime."""

import os

# ONNX Runtime reports its use to Microsoft unless told otherwise, from the moment it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
