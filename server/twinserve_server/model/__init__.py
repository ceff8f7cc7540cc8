"""The model process: loads one verified artefact, warms it, answers batches. Only its runtime knows how."""
