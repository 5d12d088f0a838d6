"""Experiment trackers for recsys-bench."""
