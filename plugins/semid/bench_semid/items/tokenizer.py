"""The one step from items to codes: vectors, then a quantizer; kept by the core."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from bench import Arrays, Context, Interactions
from bench_semid.config import SemanticConfig
from bench_semid.items import facts, vectors
from bench_semid.items.quantize import Codes, product, residual_k_means, rotated_product
from bench_semid.items.rqvae import rq_vae

QUANTIZERS = {
    "residual-kmeans": residual_k_means,
    "product": product,
    "rotated-product": rotated_product,
    "rqvae": rq_vae,
}

_ROUNDS = 5
"""Of least squares over all tables."""


class Tokens(NamedTuple):
    """What became of the items."""

    codes: Codes
    """(n_items, m): codes of two items may be equal."""
    tables: vectors.Vectors
    """(m, values, d): vectors of codes whose sum is near the vector of an item; see :func:`tables`."""


def tokenize(config: SemanticConfig, train: Interactions, context: Context, model: str) -> Tokens:
    """Vectors and codes that the config asks for; what the codes are like is noted and logged.

    ``model`` is for errors.

    Raises
    ------
    ConfigError, DataError
        If the texts, the file or the dimensions do not allow it.
    """
    source = item_vectors(config, train, context, model)
    quantize = QUANTIZERS[config.quantizer]

    def compute() -> Arrays:
        return {"codes": quantize(source, config.codes, config.codebook_size, context.seed)}

    inputs = {
        "vectors": source,
        "quantizer": config.quantizer,
        "codes": config.codes,
        "values": config.codebook_size,
        "seed": context.seed,
    }
    found = np.asarray(context.cached("codes", inputs, compute)["codes"], np.int32)
    described = facts.describe(found, config.codebook_size)
    context.note("codes", described)
    for line in facts.as_lines(described):
        context.log(line)
    return Tokens(found, tables(found, vectors.principal(source, config.embedding_size, False), config.codebook_size))


def tables(codes: Codes, source: vectors.Vectors, values: int) -> vectors.Vectors:
    """(m, values, d): vectors of codes whose sum over an item is near its vector in ``source`` (n_items, d).

    Least squares by turns: each table is made of what the others leave over. They are scaled to a root mean square
    length of 1.
    """
    n_items, m = codes.shape
    ones = np.ones(n_items, np.float32)
    hot = [sp.csr_array((ones, (column, np.arange(n_items))), shape=(values, n_items)) for column in codes.T]
    found, rest = np.zeros((m, values, source.shape[1]), np.float32), source.copy()
    for _ in range(_ROUNDS):
        for table, one, column in zip(found, hot, codes.T, strict=True):
            rest += table[column]
            table[:] = one @ rest / np.maximum(one.sum(axis=1), 1)[:, None]
            rest -= table[column]
    size = np.sqrt(np.square(found).sum(axis=2).mean())
    return found / max(float(size), 1e-12)


def item_vectors(config: SemanticConfig, train: Interactions, context: Context, model: str) -> vectors.Vectors:
    """(n_items, d) float32: what the codes are made of, each source reduced to ``vectors_size`` dimensions."""
    if config.vectors_file is not None:
        parts = [vectors.from_file(config.vectors_file, context.item_texts()["id"].astype(str).tolist())]
    else:
        parts = vectors.make(context, train, config.vectors, config.vectors_size, model)
    reduced = [vectors.principal(part, config.vectors_size, config.whiten) for part in parts]
    return np.concatenate(reduced, axis=1)
