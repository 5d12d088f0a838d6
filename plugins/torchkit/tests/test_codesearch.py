"""The search against a walk over all items, for a decoder that is a table of random probabilities."""

import numpy as np
import pytest
import torch
from bench_torchkit.codesearch import CodeDecoder, beam_search, closed, exact_scores
from bench_torchkit.tree import tree
from hypothesis import given
from hypothesis import strategies as st

from bench.testing import interactions_from

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

    def next(self, level, codes, nodes, cache):
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


@pytest.mark.parametrize("beams", [1, 6, 40])
def test_excluded_items_take_no_beam(catalogue, beams):
    decoder, rng = Table(), np.random.default_rng(2)
    best = by_hand(decoder, catalogue.codes).argsort(1, descending=True).tolist()
    # What a user would be given, everything below a first code, all but two items, nothing.
    below = np.flatnonzero(catalogue.codes[:, 0] == catalogue.codes[best[1][0], 0]).tolist()
    rows = [best[0][:10], below, rng.permutation(40)[:38].tolist(), []]
    items, scores = beam_search(decoder, catalogue, beams, interactions_from([sorted(row) for row in rows], 40))
    own = by_hand(decoder, catalogue.codes)
    for row, found, reached, order, likely in zip(rows, items, scores, best, own, strict=True):
        allowed = [item for item in order if item not in row]
        filled = [item for item in found.tolist() if item >= 0]
        assert len(filled) == min(beams, len(allowed))
        assert set(filled) <= set(allowed)
        torch.testing.assert_close(reached[: len(filled)], likely[filled])
        if beams == 40:
            assert filled == allowed


@given(st.data())
def test_a_node_is_closed_if_all_items_below_are_excluded(data):
    length, width = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    places = data.draw(st.lists(st.integers(0, width**length - 1), min_size=1, max_size=20, unique=True))
    some = tree((np.array(places)[:, None] // width ** np.arange(length) % width).astype(np.int32), width)
    rows = data.draw(st.lists(st.lists(st.integers(0, len(places) - 1)), min_size=1, max_size=4))  # repeated items too
    found = closed(some, interactions_from(rows, len(places)), "cpu")
    for level in range(1, length + 1):
        for row, mask in zip(rows, found[level - 1].tolist(), strict=True):
            below = [set(np.flatnonzero(some.nodes[:, level] == node)) for node in range(some.size(level))]
            assert mask == [items <= set(row) for items in below]


def test_scores_that_are_no_numbers_are_an_error(catalogue):
    decoder = Table()
    decoder.logits[1][2] = torch.nan
    with pytest.raises(ValueError, match=r"scores of 1 of 4 users are not numbers \(NaN\): the model diverged"):
        beam_search(decoder, catalogue, 6)


def test_without_the_tree_beams_are_the_most_likely_codes_of_all(catalogue):
    decoder = Table()
    items, scores = beam_search(decoder, catalogue, WIDTH**LENGTH, constrained=False)
    everything = np.indices([WIDTH] * LENGTH).reshape(LENGTH, -1).T
    torch.testing.assert_close(scores, by_hand(decoder, everything).sort(dim=1, descending=True).values)
    assert ((items >= 0).sum(1) == 40).all()
    for row, own in zip(items.tolist(), by_hand(decoder, catalogue.codes), strict=True):
        assert [item for item in row if item >= 0] == own.argsort(descending=True).tolist()
