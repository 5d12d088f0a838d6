"""Why an item was recommended: how its identifier was written, and which items of the history are near to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from bench.contract import Interactions, Recommendations
from bench_colarec.recommender import Recommender

_NEAREST = 3


def explain(
    recommender: Recommender, history: Interactions, recommendations: Recommendations
) -> list[list[Mapping[str, Any]]]:
    """For each filled slot ``identifier``, ``probabilities`` of its codes, ``match``, and ``nearest`` of the history.

    ``nearest`` are item ids of the history with the number of first codes that they share with the recommended item and
    the cosine of h(X) between the two, most shared codes first.
    """
    found: list[list[Mapping[str, Any]]] = [[] for _ in range(history.n_users)]
    tree, network = recommender.parts.tree, recommender.network
    network.eval()
    with torch.inference_mode():
        vectors = recommender.item_vectors()
        unit = torch.nn.functional.normalize(vectors, dim=1).cpu().numpy()
        nodes = torch.from_numpy(tree.nodes).to(network.device)
        for rows, users in recommender.encode_users(history, recommendations.items.shape[1]):
            items = np.maximum(recommendations.items[rows], 0)
            log_probs = network.write(users, nodes[torch.from_numpy(items).long().to(network.device)]).cpu().numpy()
            products = (vectors[torch.from_numpy(items).long().to(network.device)] @ users.summary.float()[..., None])[
                ..., 0
            ]
            for place, row in enumerate(rows):
                known = history.items[history.indptr[row] : history.indptr[row + 1]]
                for slot, item in enumerate(recommendations.items[row]):
                    if item < 0:
                        continue
                    shared = np.cumprod(tree.codes[known] == tree.codes[item], axis=1).sum(axis=1)
                    cosine = unit[known] @ unit[item]
                    order = np.lexsort((-cosine, -shared))[:_NEAREST]
                    found[row].append(
                        {
                            "identifier": tree.codes[item].tolist(),
                            "probabilities": [round(float(p), 4) for p in np.exp(log_probs[place, slot])],
                            "match": round(float(products[place, slot]), 3),
                            "nearest": [
                                {
                                    "item": int(known[i]),
                                    "shared_codes": int(shared[i]),
                                    "cosine": round(float(cosine[i]), 3),
                                }
                                for i in order
                            ],
                        }
                    )
    return found
