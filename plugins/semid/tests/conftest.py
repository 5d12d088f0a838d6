from bench_torchkit.testing import offline  # noqa: F401 (a fixture for all tests)
