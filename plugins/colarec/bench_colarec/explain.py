"""Why an item was recommended: how its identifier was generated, and which items of the history are near to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from bench_torchkit.tree import Tree
from numpy.typing import NDArray

from bench import Interactions, Recommendations
from bench_colarec.ranker import Ranker

_NEAREST = 3


def explain(ranker: Ranker, history: Interactions, recommendations: Recommendations) -> list[list[Mapping[str, Any]]]:
    """For each filled place ``identifier``, ``probabilities`` of its codes, ``match``, and ``nearest`` of the history.

    ``nearest`` are item ids of the history with the number of first codes that they share with the recommended item and
    the cosine of h(X) between the two, most shared codes first.
    """
    found: list[list[Mapping[str, Any]]] = [[] for _ in range(history.n_users)]
    tree, network = ranker.parts.tree, ranker.network
    network.eval()
    with torch.inference_mode():
        vectors = ranker.item_vectors()
        unit = torch.nn.functional.normalize(vectors, dim=1).cpu().numpy()
        nodes = torch.from_numpy(tree.nodes).to(network.device)
        for rows, users in ranker.encode_users(history, recommendations.items.shape[1]):
            items = torch.from_numpy(np.maximum(recommendations.items[rows], 0)).long().to(network.device)
            probabilities = network.log_likelihood(users, nodes[items]).exp().cpu().numpy()
            products = (vectors[items] @ users.pooled.float()[..., None])[..., 0]
            for at, row in enumerate(rows):
                known = history.items[history.indptr[row] : history.indptr[row + 1]]
                found[row] = [
                    {
                        "identifier": tree.codes[item].tolist(),
                        "probabilities": [round(float(p), 4) for p in probabilities[at, place]],
                        "match": round(float(products[at, place]), 3),
                        "nearest": _nearest(tree, unit, known, item),
                    }
                    for place, item in enumerate(recommendations.items[row])
                    if item >= 0
                ]
    return found


def _nearest(
    tree: Tree, unit: NDArray[np.float32], known: NDArray[np.int32], item: np.int32
) -> list[Mapping[str, Any]]:
    shared = np.cumprod(tree.codes[known] == tree.codes[item], axis=1).sum(axis=1)
    cosine = unit[known] @ unit[item]
    order = np.lexsort((-cosine, -shared))[:_NEAREST]
    return [
        {"item": int(known[i]), "shared_codes": int(shared[i]), "cosine": round(float(cosine[i]), 3)} for i in order
    ]
