"""Why a model recommends what it does: the form of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contract import Recommender
from bench.errors import PluginError
from bench.interactions import UNFILLED, Interactions, Recommendations


def explanations(
    model: Recommender, users: NDArray[np.int64], history: Interactions, found: Recommendations
) -> list[list[dict[str, Any]]]:
    """What :meth:`bench.Recommender.explain` says of the lists ``found``, for each user and filled slot.

    Raises
    ------
    PluginError
        If that is anything else than a mapping for each filled slot.
    """
    reasons = model.explain(users, history, found)
    expected = (found.items != UNFILLED).sum(axis=1).tolist()
    if [len(row) for row in reasons] != expected or not all(isinstance(r, Mapping) for row in reasons for r in row):
        raise PluginError("explain() should give a mapping for each filled slot of each user's list: fix the plugin")
    return [[dict(reason) for reason in row] for row in reasons]
