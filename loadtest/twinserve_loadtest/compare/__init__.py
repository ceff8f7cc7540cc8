"""Comparison: the designed experiment, effects, gates and the verdict."""
