"""What lists are like, by the core and by RecBole's own evaluator."""

import numpy as np
import torch
from recbole.evaluator import metrics

from bench.evaluation.beyond import beyond


def test_coverage_gini_and_popularity_are_recboles():
    rng = np.random.default_rng(0)
    n_items, counts = 50, rng.integers(1, 40, 50)
    items = np.stack([rng.choice(n_items, 10, replace=False, p=counts / counts.sum()) for _ in range(80)])
    found = beyond(items.astype(np.int32), counts, 100, counts < 20, [5, 10])
    # RecBole's item 0 is padding.
    known = {
        "rec.items": torch.from_numpy(items + 1),
        "data.num_items": n_items,
        "data.count_items": {item + 1: int(count) for item, count in enumerate(counts)},
    }
    config = {"topk": [5, 10], "metric_decimal_place": 12}
    for kind, theirs, ours in (
        ("ItemCoverage", "itemcoverage", "coverage"),
        ("GiniIndex", "giniindex", "gini"),
        ("AveragePopularity", "averagepopularity", "popularity"),
    ):
        expected = getattr(metrics, kind)(config).calculate_metric(known)
        for k in (5, 10):
            np.testing.assert_allclose(found[f"{ours}@{k}"], expected[f"{theirs}@{k}"], rtol=1e-9)
