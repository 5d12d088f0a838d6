"""The published test of a model: subclass :class:`ModelChecks`, set ``name``, and pytest does the rest.

::

    # tests/test_toy.py
    from bench.testing import ModelChecks, WorkerChecks

    class TestToy(ModelChecks):
        name = "toy"
        options = {"epochs": 3}

    class TestToyInAWorker(WorkerChecks):  # some seconds more: as 'bench run' runs it, loaded in another process
        name = "toy"
        options = {"epochs": 3}

``bench plugin test toy --set toy.epochs=3`` runs both without a file.

The plugin has to be installed (``pip install -e .``), for the model is found as the harness finds it. The data is small
and synthetic: :func:`block_interactions`. Give ``options`` that make a slow model quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.testing.local import (
    Interrupted,
    LocalContext,
    MemorySplit,
    assert_same_lists,
    block_interactions,
    interactions_from,
    ndcg,
)

if TYPE_CHECKING:
    from bench.testing.checks import ModelChecks
    from bench.testing.worker_checks import WorkerChecks

__all__ = [
    "Interrupted",
    "LocalContext",
    "MemorySplit",
    "ModelChecks",
    "WorkerChecks",
    "assert_same_lists",
    "block_interactions",
    "interactions_from",
    "ndcg",
]


def __getattr__(name: str) -> Any:
    """The checks alone need pytest, which comes with ``pip install 'recsys-bench[testing]'``."""
    if name == "ModelChecks":
        from bench.testing.checks import ModelChecks

        return ModelChecks
    if name == "WorkerChecks":
        from bench.testing.worker_checks import WorkerChecks

        return WorkerChecks
    raise AttributeError(f"module 'bench.testing' has no attribute '{name}'")
