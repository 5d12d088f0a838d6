"""The search against a walk over all items, for a decoder that is a table of random probabilities."""

import numpy as np
import pytest
import torch
from bench_torchkit.codesearch import CodeDecoder, beam_search, exact_scores
from bench_torchkit.tree import tree

WIDTH, LENGTH, USERS = 5, 3, 4


class Table(CodeDecoder):
    """The probability of a code is a function of the user and of all codes before it; the cache is these codes."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.logits = [torch.from_numpy(rng.normal(0, 2, (USERS, *[WIDTH] * level, WIDTH))) for level in range(LENGTH)]

    def log_probs(self, user, codes):
        return self.logits[len(codes)][(user, *codes)].log_softmax(-1)

    def first(self):
        return torch.stack([self.log_probs(user, ())[None] for user in range(USERS)]), None

    def next(self, level, codes, cache):
        before = codes[..., None] if cache is None else torch.cat([cache, codes[..., None]], -1)
        assert before.shape[-1] == level
        rows = [
            torch.stack([self.log_probs(user, tuple(one.tolist())) for one in some]) for user, some in enumerate(before)
        ]
        return torch.stack(rows), before

    def reorder(self, cache, parents):
        rows = torch.arange(USERS)[:, None]
        return None if cache is None else cache[rows, parents]


@pytest.fixture
def catalogue():
    """40 of the 125 possible codes."""
    places = np.random.default_rng(1).permutation(WIDTH**LENGTH)[:40]
    return tree((places[:, None] // WIDTH ** np.arange(LENGTH) % WIDTH).astype(np.int32), WIDTH)


def by_hand(decoder, codes):
    return torch.tensor(
        [
            [
                sum(float(decoder.log_probs(user, tuple(row[:level]))[row[level]]) for level in range(LENGTH))
                for row in codes.tolist()
            ]
            for user in range(USERS)
        ],
        dtype=torch.float64,
    )


def test_exact_scores_are_those_of_a_walk_over_all_items(catalogue):
    decoder = Table()
    torch.testing.assert_close(exact_scores(decoder, catalogue), by_hand(decoder, catalogue.codes))


@pytest.mark.parametrize("beams", [40, 64])
def test_enough_beams_find_all_items_in_order(catalogue, beams):
    decoder = Table()
    items, scores = beam_search(decoder, catalogue, beams)
    expected, order = by_hand(decoder, catalogue.codes).sort(dim=1, descending=True)
    assert torch.equal(items[:, :40], order)
    torch.testing.assert_close(scores[:, :40], expected)
    assert (items[:, 40:] == -1).all()
    assert torch.isinf(scores[:, 40:]).all()


def test_few_beams_find_items_with_their_own_scores(catalogue):
    decoder = Table()
    items, scores = beam_search(decoder, catalogue, 6)
    assert items.shape == (USERS, 6)
    assert (items >= 0).all()
    assert all(len(set(row)) == 6 for row in items.tolist())
    torch.testing.assert_close(scores, by_hand(decoder, catalogue.codes).gather(1, items))
    assert (scores[:, :-1] >= scores[:, 1:]).all()


def test_without_the_tree_beams_are_the_most_likely_codes_of_all(catalogue):
    decoder = Table()
    items, scores = beam_search(decoder, catalogue, WIDTH**LENGTH, constrained=False)
    everything = np.indices([WIDTH] * LENGTH).reshape(LENGTH, -1).T
    torch.testing.assert_close(scores, by_hand(decoder, everything).sort(dim=1, descending=True).values)
    assert ((items >= 0).sum(1) == 40).all()
    for row, own in zip(items.tolist(), by_hand(decoder, catalogue.codes), strict=True):
        assert [item for item in row if item >= 0] == own.argsort(descending=True).tolist()
