"""Interactions as a scipy matrix."""

import numpy as np
import scipy.sparse as sp

from bench import Interactions


def matrix(interactions: Interactions) -> sp.csr_matrix:
    """(n_users, n_items) float32, 1 where there is an interaction."""
    ones = np.ones(len(interactions), np.float32)
    return sp.csr_matrix((ones, interactions.items, interactions.indptr), shape=interactions.shape)
