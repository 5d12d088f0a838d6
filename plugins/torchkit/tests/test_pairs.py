"""Scores of pairs in blocks against a network that sees both vectors of a pair side by side."""

import pytest
import torch
from bench_torchkit.pairs import add_scores


def vectors(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "m"), [(5, 9), (1, 40), (40, 1), (1, 1), (7, 3)])
@pytest.mark.parametrize("pairs_at_once", [1, 4, 10, 23, 10**6])
def test_blocks_are_the_network_pair_by_pair(n, m, pairs_at_once):
    torch.manual_seed(0)
    first, rest = torch.nn.Linear(8, 6), torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Linear(6, 1))
    users, items = vectors(n, 5, seed=1), vectors(m, 3, seed=2)
    of_users, of_items = first.weight.split([5, 3], dim=1)
    held = []

    def layers(hidden):
        held.append(hidden[..., 0].numel())
        return rest(hidden).squeeze(-1)

    with torch.no_grad():
        found = vectors(n, m, seed=3)
        before = found.clone()
        add_scores(found, users @ of_users.T + first.bias, items @ of_items.T, layers, pairs_at_once)
        expected = [[rest(first(torch.cat([user, item]))).item() for item in items] for user in users]
    torch.testing.assert_close(found, before + torch.tensor(expected))
    assert max(held) <= pairs_at_once
    assert sum(held) == n * m
    assert len(held) <= 4 * -(-n * m // pairs_at_once)  # and not one by one
