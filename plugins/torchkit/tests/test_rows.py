"""Rows of sequences against plain loops over users."""

import numpy as np
import pytest
import torch
from bench_torchkit.rows import Sequences, histories, pack, training_sequences
from hypothesis import given
from hypothesis import strategies as st

from bench.testing import interactions_from

N_ITEMS = 40
users = st.lists(st.lists(st.integers(0, N_ITEMS - 1), max_size=14, unique=True), min_size=1, max_size=12)


def examples(rows, most):
    """(known items, target) of each next item, where a model sees at most so many known items."""
    return sorted((tuple(row[max(0, at - most) : at]), row[at]) for row in rows for at in range(1, len(row)))


def seen(batch):
    """(items of the sequence up to each place, target): what the places of a batch may know."""
    items, segments = batch.rows.items, batch.rows.segments
    width = items.shape[1]
    found = []
    for cell, target in zip(batch.at.tolist(), batch.targets.tolist(), strict=True):
        row, column = divmod(cell, width)
        own = segments[row, : column + 1] == segments[row, column]
        found.append((tuple(items[row, : column + 1][own].tolist()), target))
    return sorted(found)


@given(rows=users, most=st.integers(1, 16), batch_size=st.integers(1, 5))
def test_prefixes_are_all_beginnings_with_their_next_item(rows, most, batch_size):
    train = interactions_from(rows, N_ITEMS)
    sequences = Sequences(train, most, "prefixes", batch_size)
    batches = list(sequences.batches(np.random.default_rng(0)))
    assert sorted(example for batch in batches for example in seen(batch)) == examples(rows, most)
    assert len(batches) == len(sequences)


@given(rows=users, most=st.integers(1, 16), batch_size=st.integers(1, 5))
def test_packed_rows_have_every_next_item_once(rows, most, batch_size):
    train = interactions_from(rows, N_ITEMS)
    sequences = Sequences(train, most, "packed", batch_size)
    batches = list(sequences.batches(np.random.default_rng(0)))
    found = sorted(example for batch in batches for example in seen(batch))
    assert [target for _, target in sorted(found, key=lambda e: e[1])] == sorted(
        target for _, target in examples(rows, most)
    )
    if most >= 14:  # no row has to be cut
        assert found == examples(rows, most)


@given(rows=users, most=st.integers(1, 16), batch_size=st.integers(1, 9), parts=st.integers(1, 6))
def test_parts_of_a_batch_are_the_batch(rows, most, batch_size, parts):
    train = interactions_from(rows, N_ITEMS)
    for targets in ("packed", "prefixes"):
        for batch in Sequences(train, most, targets, batch_size).batches(np.random.default_rng(2)):
            pieces = batch.split(parts)
            assert len(pieces) <= parts
            assert sorted(example for piece in pieces for example in seen(piece)) == seen(batch)
            latest, whole = (
                torch.cat([one.rows.items.flatten()[one.rows.last] for one in some]).sort().values
                for some in (pieces, [batch])
            )
            assert torch.equal(latest, whole)
            for piece in pieces:
                pairs = zip(piece.users.tolist(), seen_in_order(piece), strict=True)
                assert all(rows[user].index(known) + 1 == rows[user].index(target) for user, (known, target) in pairs)


@given(rows=users, most=st.integers(1, 16), batch_size=st.integers(1, 5))
def test_targets_are_those_of_their_users(rows, most, batch_size):
    train = interactions_from(rows, N_ITEMS)
    for targets in ("packed", "prefixes"):
        for batch in Sequences(train, most, targets, batch_size).batches(np.random.default_rng(1)):
            pairs = zip(batch.users.tolist(), seen_in_order(batch), strict=True)
            assert all(rows[user].index(known) + 1 == rows[user].index(target) for user, (known, target) in pairs)


def seen_in_order(batch):
    items = batch.rows.items.flatten()[batch.at].tolist()
    return zip(items, batch.targets.tolist(), strict=True)


@given(rows=users.filter(any), most=st.integers(1, 16))
def test_histories_end_with_the_latest_item(rows, most):
    rows = [row for row in rows if row]
    known = interactions_from(rows, N_ITEMS)
    found = pack(known, histories(known, most), most)
    assert found.items.flatten()[found.last].tolist() == [row[-1] for row in rows]
    for row, cell in zip(rows, found.last.tolist(), strict=True):
        line, column = divmod(cell, found.items.shape[1])
        length = min(len(row), most)
        cells = slice(column - length + 1, column + 1)
        assert found.items[line, cells].tolist() == row[-most:]
        assert found.places[line, cells].tolist() == list(range(length))
        assert found.ages[line, cells].tolist() == list(range(length))[::-1]
        assert len(set(found.segments[line, cells].tolist())) == 1


def test_a_place_is_together_with_its_own_sequence_alone():
    known = interactions_from([[1, 2, 3], [4, 5]], N_ITEMS)
    rows = pack(known, histories(known, 6), 6)
    assert rows.items.tolist() == [[1, 2, 3, 4, 5, N_ITEMS]]
    assert rows.before[0, :5, :5].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 1],
    ]
    assert torch.equal(rows.together[0, :3, :3], torch.ones(3, 3, dtype=torch.bool))


def test_rows_are_well_filled():
    """Short sequences share rows: no more than a tenth of the places is empty."""
    rng = np.random.default_rng(0)
    rows = [rng.choice(1000, size, replace=False).tolist() for size in rng.integers(2, 15, 256)]
    train = interactions_from(rows, 1000)
    filled = pack(train, training_sequences(train, 50, "packed"), 50)
    assert (filled.segments >= 0).float().mean() > 0.9


def test_nobody_has_a_next_item():
    train = interactions_from([[1], [], [2]], N_ITEMS)
    for targets in ("packed", "prefixes"):
        assert len(Sequences(train, 5, targets, 4)) == 0
        assert list(Sequences(train, 5, targets, 4).batches(np.random.default_rng(0))) == []


@pytest.mark.parametrize("targets", ["packed", "prefixes"])
def test_order_is_a_function_of_the_generator(targets):
    train = interactions_from([[1, 2, 3], [4, 5], [6, 7, 8, 9]], N_ITEMS)
    one, two = (list(Sequences(train, 4, targets, 2).batches(np.random.default_rng(3))) for _ in range(2))
    for first, second in zip(one, two, strict=True):
        assert torch.equal(first.targets, second.targets)
