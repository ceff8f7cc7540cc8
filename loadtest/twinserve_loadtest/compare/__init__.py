"""Comparison: the designed experiment, its statistics, the gates and the verdict."""
