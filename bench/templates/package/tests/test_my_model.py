"""The published checks, on small data. Add what your model promises beyond them."""

from bench.testing import ModelChecks, WorkerChecks


class TestMyModel(ModelChecks):
    """In this process."""

    name = "my-model"


class TestMyModelInAWorker(WorkerChecks):
    """As ``bench run`` does."""

    name = "my-model"
