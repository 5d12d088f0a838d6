"""Cells, the processes that run them, and where results are kept."""
