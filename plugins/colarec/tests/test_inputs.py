"""Inputs of the encoder against lists that are put together slot by slot."""

import numpy as np
import pytest
from bench_colarec.inputs import slots
from bench_colarec.parts import Parts
from bench_colarec.tokens import EOS, PAD, TokenTable
from bench_colarec.tree import tree
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.testing import interactions_from

N_USERS = 5


@st.composite
def parts(draw):
    """Items with texts of 0 to 6 tokens; with atoms or without."""
    texts = draw(st.lists(st.lists(st.integers(3, 20), max_size=6), min_size=1, max_size=7))
    indptr = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    table = TokenTable(indptr, np.array([token for text in texts for token in text], np.int32), 21)
    codes = np.arange(len(texts), dtype=np.int32)[:, None]
    return Parts(tree(codes, len(texts)), table, interactions_from([[]] * len(texts), N_USERS), draw(st.booleans()))


def unpadded(found):
    """Slots and places of each row; what is behind the end has to be padding."""
    for row, length in enumerate(found.lengths):
        assert (found.slots[row, length:] == PAD).all()
        assert (found.places[row, length:] == 0).all()
        assert (found.slots[row, :length] != PAD).all()
        assert found.slots[row, length - 1] == EOS
    assert found.slots.shape == found.places.shape == (len(found.lengths), found.lengths.max(initial=2))
    return [
        (slots[:length].tolist(), places[:length].tolist())
        for slots, places, length in zip(found.slots, found.places, found.lengths, strict=True)
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
    found = unpadded(of.slots.users(*ragged(rows), most))
    assert found == [tiny.user_slots(of, row, most) for row in rows]
    assert all(len(row) <= most for row, _ in found)


@settings(max_examples=100)
@given(parts(), st.data())
def test_item_inputs(tiny, of, data):
    n_items, most = len(of.tokens.lengths), data.draw(st.integers(3, 25))
    items = data.draw(st.lists(st.integers(0, n_items - 1), max_size=5))
    users = [data.draw(st.lists(st.integers(0, N_USERS - 1), max_size=6)) for _ in items]
    found = unpadded(of.slots.items(np.array(items, np.int64), *ragged(users), most))
    assert found == [tiny.item_slots(of, item, row, most) for item, row in zip(items, users, strict=True)]
    assert all(len(row) <= most for row, _ in found)


def test_a_long_history_loses_its_oldest_items_whole():
    # Three items of 4 slots each (an atom and three tokens), of which two fit beside the task and EOS.
    table = TokenTable(np.arange(4, dtype=np.int64) * 3, np.arange(3, 12, dtype=np.int32), 12)
    of = slots(table, N_USERS, True)
    history = np.array([2, 0, 1])
    for most, expected in ((14, [2, 0, 1]), (13, [0, 1]), (10, [0, 1]), (9, [1]), (6, [1])):
        found = of.users(np.array([0, 3]), history, most)
        assert [int(slot) - 12 for slot in found.slots[0] if 12 <= slot < 15] == expected, most
        assert found.lengths[0] == 2 + 4 * len(expected)
    cut = of.users(np.array([0, 3]), history, 5)
    assert cut.slots[0].tolist() == [of.task(0), 13, 6, 7, EOS]  # the newest item, cut


def test_the_table_of_embeddings_has_a_row_for_everything_and_none_twice():
    of = slots(TokenTable(np.array([0, 2, 3]), np.array([3, 4, 5], np.int32), 6), 4, True)
    rows = [*range(6), *of.atom(np.arange(2)), *(6 + 2 + np.arange(4)), of.task(0), of.task(1)]
    assert rows == list(range(of.size))
    found = of.items(np.array([1]), np.array([0, 2]), np.array([3, 0]), 20)
    assert found.slots.tolist() == [[of.task(1), 7, 5, 8 + 3, 8 + 0, EOS]]
    assert found.places.tolist() == [[0, 1, 3, 2, 2, 0]]
    assert of.most_places == 5  # 0, 1, 2, and two tokens


@pytest.mark.parametrize("atoms", [True, False])
def test_an_item_without_text(atoms):
    of = slots(TokenTable(np.zeros(3, np.int64), np.zeros(0, np.int32), 3), 2, atoms)
    found = of.users(np.array([0, 2, 2]), np.array([1, 0]), 9)
    assert found.lengths.tolist() == ([4, 2] if atoms else [2, 2])
