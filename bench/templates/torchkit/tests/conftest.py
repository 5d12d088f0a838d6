"""Tests use one thread and no network, as in a worker."""

from bench_torchkit.testing import offline  # noqa: F401 (a fixture for all tests)
