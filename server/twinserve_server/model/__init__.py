"""The model process: loads one verified artefact, warms it, answers batches. The only place that imports torch."""
