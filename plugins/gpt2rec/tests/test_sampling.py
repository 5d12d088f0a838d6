"""Batches: every interaction once, negatives that are none of the user's, and nothing of the positive in a text."""

import numpy as np
import pytest
import torch
from bench_gpt2rec.sampling import Sampler, without
from hypothesis import given
from hypothesis import strategies as st

from bench import Validation
from bench.testing import LocalContext, interactions_from

N_ITEMS = 9
rows = st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=N_ITEMS), min_size=1, max_size=8).filter(
    any
)
sizes = st.integers(1, 12)


@given(rows, sizes, st.integers(1, N_ITEMS + 3), st.integers(1, 4), st.integers(1, 3))
def test_batches_of_an_epoch(train, batch, negatives, history, epoch):
    sampler = Sampler(interactions_from(train, N_ITEMS), batch, negatives, history, seed=7)
    batches = list(sampler.batches(epoch))
    assert len(batches) == len(sampler)
    assert all(len(one.users) == batch for one in batches[:-1])
    pairs = [pair for one in batches for pair in zip(one.users.tolist(), one.positives.tolist(), strict=True)]
    assert sorted(pairs) == sorted((user, item) for user, row in enumerate(train) for item in row)
    for one in batches:
        assert len(one.negatives) == len(set(one.negatives.tolist())) == min(negatives, N_ITEMS)
        assert set(one.negatives.tolist()) <= set(range(N_ITEMS))
        for row, user in enumerate(one.users):
            for column, item in enumerate(one.negatives):
                assert one.allowed[row, column] == (item not in train[user])
            left = [item for item in train[user] if item != one.positives[row]][::-1][:history]
            width = min(history, max(1, max(map(len, train)) - 1))  # no wider than the longest
            assert one.known[row].tolist() == left + [-1] * (width - len(left))


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 9), unique=True, max_size=5), st.integers(0, 9)), min_size=1, max_size=6)
)
def test_without_leaves_one_out_and_keeps_the_order(given):
    width = 5
    items = np.array([row + [-1] * (width - len(row)) for row, _ in given])
    found = without(items, np.array([left_out for _, left_out in given]))
    for row, (own, left_out) in zip(found.tolist(), given, strict=True):
        expected = [item for item in own if item != left_out][: width - 1]
        assert row == expected + [-1] * (width - 1 - len(expected))


def test_epochs_and_seeds_differ_and_repeat(tiny):
    def drawn(seed, epoch):
        batches = Sampler(tiny.DATA.train, 50, 7, 3, seed).batches(epoch)
        return [(one.positives.tolist(), one.negatives.tolist()) for one in batches]

    assert drawn(1, 1) == drawn(1, 1)
    assert drawn(1, 1) != drawn(1, 2)
    assert drawn(1, 1) != drawn(2, 1)
    assert len({tuple(negatives) for _, negatives in drawn(1, 1)}) > 1


def test_every_item_is_a_negative_as_often_as_any_other(tiny):
    sampler = Sampler(tiny.DATA.train, 10, 7, 3, 1)
    drawn = np.concatenate([one.negatives for epoch in range(20) for one in sampler.batches(epoch)])
    seen = np.bincount(drawn, minlength=48)
    # Binomial: 20 epochs, 7 of 48 items in each batch.
    n = 20 * len(sampler)
    spread = np.sqrt(n * 7 / 48 * (1 - 7 / 48))
    assert np.abs(seen - n * 7 / 48).max() < 4 * spread


@pytest.mark.parametrize("text", ["history", "profile"])
def test_validation_changes_nothing_in_training(tiny, tmp_path, text):
    """Another validation set, the same scores told to the harness: the same weights, bit by bit."""
    data = tiny.DATA if text == "history" else tiny.PROFILED
    valid = interactions_from([[(user * 5 + 1) % 48] for user in range(60)], 48)
    other = tiny.split(valid=valid, users=data.users.get("text"))

    class Told(LocalContext):
        def validate(self):
            super().validate()  # lists are asked for all the same
            self.told = getattr(self, "told", 0) + 1
            return Validation(self.told / 10, True, False)

    found = []
    for name, given_data in (("a", data), ("b", other)):
        model, context = tiny.fit(tmp_path / name, data=given_data, context=Told)
        found.append((tiny.weights(model._network), context.scores))
    assert found[0][1] != found[1][1]
    tiny.assert_equal_weights(found[0][0], found[1][0])


def test_the_positive_of_a_pair_does_not_reach_its_user(tiny):
    """Another text for the positive leaves the user as it is, and moves the item."""
    from bench_gpt2rec.step import losses

    settings = tiny.config(contrastive_weight=0.0)
    rows = [[number, number + 1, 3] for number in range(12)]
    train = interactions_from([[3, 0, 7], [5, 3], [10], [0, 1, 2, 8, 6]], 12)
    net = tiny.network(settings, tiny.documents(rows, history=5), n_users=4)
    other = tiny.network(settings, tiny.documents(rows, history=5), n_users=4)
    vectors = {}

    def watch(tower):
        kept = []
        tower.register_forward_hook(lambda module, args, found: kept.append((args[0], found.vectors.detach())))
        return kept

    for name, one in (("net", net), ("other", other)):
        vectors[name] = watch(one.users), watch(one.items)
    for batch in Sampler(train, 1, 4, 5, 1).batches(1):  # one pair each
        positive = int(batch.positives[0])
        assert positive not in batch.known
        documents = other.encoder.documents
        begin = documents.indptr[positive]
        before = documents.ids[begin : begin + 3].copy()
        documents.ids[begin : begin + 3] = [17, 19, 18]
        for one in (net, other):
            losses(settings, one, batch)
        documents.ids[begin : begin + 3] = before
        (users, items), (changed_users, changed_items) = (
            [kept[-1] for kept in vectors[name]] for name in ("net", "other")
        )
        torch.testing.assert_close(changed_users[1], users[1])
        moved = (changed_items[1] - items[1]).abs().sum(1) > 1e-4
        assert items[0][moved].tolist() == [positive]
