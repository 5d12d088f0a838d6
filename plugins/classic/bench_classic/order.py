"""Models that need to know when something happened refuse data that do not tell."""

from __future__ import annotations

from bench import DataError, Interactions


def require_times(train: Interactions, model: str) -> None:
    """The harness gives one and the same time to all interactions of a data set without times.

    Raises
    ------
    DataError
        If train has no two different times.
    """
    if not (train.times != train.times[:1]).any():
        raise DataError(f"{model}: this data set has no times: choose a model that does not need them, such as pop")
