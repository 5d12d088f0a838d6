"""Interactions as a scipy matrix, and how many threads irspack may use."""

from __future__ import annotations

import os

import numpy as np
import scipy.sparse as sp

from bench import Interactions


def matrix(interactions: Interactions) -> sp.csr_matrix:
    """(n_users, n_items) float32, 1 where there is an interaction; rows sorted by item, as irspack expects."""
    ones = np.ones(len(interactions), np.float32)
    found = sp.csr_matrix((ones, interactions.items, interactions.indptr), shape=interactions.shape, copy=True)
    found.sort_indices()
    return found


def threads() -> int:
    """Threads that a cell may use; by itself irspack takes all cores."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
