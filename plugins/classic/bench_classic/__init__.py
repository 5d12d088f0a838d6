"""Recommenders that need no training loop. The example to start a plugin from is :mod:`bench_classic.popularity`."""
