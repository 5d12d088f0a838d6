"""Inputs of the encoder against lists that are put together id by id."""

import numpy as np
import pytest
from bench_colarec.items.tokens import EOS, PAD, TokenTable
from bench_colarec.network.inputs import input_table
from bench_colarec.network.parts import Parts
from bench_torchkit.tree import tree
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.testing import interactions_from

N_USERS = 5


@st.composite
def parts(draw):
    """Items with texts of 0 to 6 tokens; with item ids or without."""
    texts = draw(st.lists(st.lists(st.integers(3, 20), max_size=6), min_size=1, max_size=7))
    indptr = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    table = TokenTable(indptr, np.array([token for text in texts for token in text], np.int32), 21)
    codes = np.arange(len(texts), dtype=np.int32)[:, None]
    return Parts(tree(codes, len(texts)), table, interactions_from([[]] * len(texts), N_USERS), draw(st.booleans()))


def unpadded(found):
    """Ids and positions of each row; what is behind the end has to be padding."""
    for row, length in enumerate(found.lengths):
        assert (found.ids[row, length:] == PAD).all()
        assert (found.positions[row, length:] == 0).all()
        assert (found.ids[row, :length] != PAD).all()
        assert found.ids[row, length - 1] == EOS
    assert found.ids.shape == found.positions.shape == (len(found.lengths), found.lengths.max(initial=2))
    return [
        (ids[:length].tolist(), positions[:length].tolist())
        for ids, positions, length in zip(found.ids, found.positions, found.lengths, strict=True)
    ]


def ragged(rows):
    return np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64), np.array(
        [value for row in rows for value in row], np.int64
    )


@settings(max_examples=100)
@given(parts(), st.data())
def test_user_inputs(tiny, of, data):
    n_items, most = len(of.tokens.lengths), data.draw(st.integers(3, 25))
    rows = data.draw(st.lists(st.lists(st.integers(0, n_items - 1), max_size=6), max_size=5))
    found = unpadded(of.inputs.users(*ragged(rows), most))
    assert found == [tiny.user_ids(of, row, most) for row in rows]
    assert all(len(row) <= most for row, _ in found)


@settings(max_examples=100)
@given(parts(), st.data())
def test_item_inputs(tiny, of, data):
    n_items, most = len(of.tokens.lengths), data.draw(st.integers(3, 25))
    items = data.draw(st.lists(st.integers(0, n_items - 1), max_size=5))
    users = [data.draw(st.lists(st.integers(0, N_USERS - 1), max_size=6)) for _ in items]
    found = unpadded(of.inputs.items(np.array(items, np.int64), *ragged(users), most))
    assert found == [tiny.item_input_ids(of, item, row, most) for item, row in zip(items, users, strict=True)]
    assert all(len(row) <= most for row, _ in found)


def test_a_long_history_loses_its_oldest_items_whole():
    # Three items of 4 ids each (its own and three tokens), of which two fit beside the task and EOS.
    table = TokenTable(np.arange(4, dtype=np.int64) * 3, np.arange(3, 12, dtype=np.int32), 12)
    of = input_table(table, N_USERS, True)
    history = np.array([2, 0, 1])
    for most, expected in ((14, [2, 0, 1]), (13, [0, 1]), (10, [0, 1]), (9, [1]), (6, [1])):
        found = of.users(np.array([0, 3]), history, most)
        assert [int(one) - 12 for one in found.ids[0] if 12 <= one < 15] == expected, most
        assert found.lengths[0] == 2 + 4 * len(expected)
    cut = of.users(np.array([0, 3]), history, 5)
    assert cut.ids[0].tolist() == [of.task(0), 13, 6, 7, EOS]  # the newest item, cut


def test_the_table_of_embeddings_has_a_row_for_everything_and_none_twice():
    of = input_table(TokenTable(np.array([0, 2, 3]), np.array([3, 4, 5], np.int32), 6), 4, True)
    rows = [*range(6), *of.item_ids(np.arange(2)), *(6 + 2 + np.arange(4)), of.task(0), of.task(1)]
    assert rows == list(range(of.size))
    found = of.items(np.array([1]), np.array([0, 2]), np.array([3, 0]), 20)
    assert found.ids.tolist() == [[of.task(1), 7, 5, 8 + 3, 8 + 0, EOS]]
    assert found.positions.tolist() == [[0, 1, 3, 2, 2, 0]]
    assert of.n_positions == 5  # 0, 1, 2, and two tokens


@pytest.mark.parametrize("item_ids", [True, False])
def test_an_item_without_text(item_ids):
    of = input_table(TokenTable(np.zeros(3, np.int64), np.zeros(0, np.int32), 3), 2, item_ids)
    found = of.users(np.array([0, 2, 2]), np.array([1, 0]), 9)
    assert found.lengths.tolist() == ([4, 2] if item_ids else [2, 2])
