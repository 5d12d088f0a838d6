"""iALS: matrix factorisation of implicit feedback by alternating least squares (Hu, Koren & Volinsky, ICDM 2008).

In the form of Rendle et al., RecSys 2022 (arXiv:2110.14037), whose regularisation grows with the frequency of users and
items. irspack solves it; only what a recommendation needs is kept, the item vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from bench import Context, Interactions, ModelConfig, Recommender, Search
from bench_irspack.matrix import matrix, threads

if TYPE_CHECKING:
    from irspack import IALSRecommender

Solver = Literal["cholesky", "cg"]


class IALSConfig(ModelConfig):
    """Size, weights and regularisation; the names of the paper in brackets."""

    embedding_size: Annotated[int, Field(ge=1), Search(16, 256, log=True)] = 256
    """Numbers of a user's and of an item's vector (d)."""
    epochs: Annotated[int, Field(ge=1)] = 16
    """Most iterations; in each of them first all users are solved, then all items. The paper calls 16 a good choice."""
    unobserved_weight: Annotated[float, Field(gt=0), Search(0.01, 1.0, log=True)] = 0.01
    """Weight in the loss of each of all pairs (α₀), where a pair with an interaction has weight 1 on top."""
    l2: Annotated[float, Field(gt=0), Search(1e-4, 0.1, log=True)] = 0.01
    """L2 penalty (λ), multiplied for each user and item by (interactions + α₀ · number of all items or users)^ν."""
    frequency_scaling: Annotated[float, Field(ge=0), Search(0.0, 1.0)] = 1.0
    """How much the penalty grows with the number of interactions (ν): 0 not at all, 1 in proportion."""
    init_std: Annotated[float, Field(gt=0)] = 0.1
    """Standard deviation of the first vectors, divided by the root of their size."""
    solver: Solver = "cg"
    """How vectors are solved in training: by three steps of conjugate gradients from where they are, or exactly, which
    takes several times as long for vectors of some hundred numbers."""
    reproducible: bool = True
    """Whether irspack solves on one thread, so that runs of one seed give the same lists; else on all that the cell
    has, where sums are taken in any order and scores differ in their last digits."""


class IALS(Recommender):
    """Matrix factorisation by alternating least squares over all pairs (implicit ALS).

    A user's vector is always solved exactly, for the items of the history, also when it was learnt in training: so a
    user who was not there is served like others. The first vectors are drawn with the seed.
    """

    Config = IALSConfig
    presets = {"default": {}, "dense": {"embedding_size": 64, "unobserved_weight": 0.3, "l2": 0.015}}
    """For data with few interactions per user, such as 5-cores of shops, and with many, such as MovieLens."""
    state = ("items", "popularity")

    items: NDArray[np.float32]
    """(n_items, d)."""
    _solver: IALSRecommender | None = None
    """Solves for users when the items are :attr:`items`."""

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Iterate until the harness stops it, and keep the items of the best validation.

        An iteration is an epoch of the harness, like those of models by gradients: the best is not always the last.
        """
        config: IALSConfig = self.config
        self.popularity = train.popularity
        training = _learner(config, matrix(train), config.solver, context.seed)
        best: NDArray[np.float32] | None = None
        for _ in context.epochs(config.epochs, unit="iteration"):
            training.run_epoch()
            self._use(training.get_item_embedding().copy())  # it is a view, which the next iteration changes
            found = context.validate()
            if found.improved:
                best = self.items
            if found.stop:
                break
        if best is not None:
            self._use(best)
        context.note("parameters", sum(train.shape) * config.embedding_size)

    def _use(self, items: NDArray[np.float32]) -> None:
        self.items, self._solver = items, None

    def score(self, users: NDArray[np.int64], history: Interactions) -> NDArray[np.float32]:
        """Products of item vectors and of the user vector that fits the history best."""
        if self._solver is None:
            one_user = sp.csr_matrix(np.zeros((1, history.n_items), np.float32))
            self._solver = _learner(self.config, one_user, "cholesky", seed=0)
            self._solver.trainer_as_ials.core_trainer.item = self.items
        found: NDArray[np.float32] = self._solver.get_score_cold_user(matrix(history))
        return found


def _learner(config: IALSConfig, x: sp.csr_matrix, solver: Solver, seed: int) -> IALSRecommender:
    from irspack import IALSRecommender  # more than a second, most of it for scikit-learn

    found = IALSRecommender(
        x,
        n_components=config.embedding_size,
        alpha0=config.unobserved_weight,
        reg=config.l2,
        nu=config.frequency_scaling,
        init_std=config.init_std,
        solver_type="CHOLESKY" if solver == "cholesky" else "CG",
        random_seed=seed,
        n_threads=1 if config.reproducible else threads(),
    )
    found.start_learning()
    return found
