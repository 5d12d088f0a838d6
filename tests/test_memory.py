"""Test cases that train knows by heart, against loops over all histories."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench
from bench.data import memory
from bench.data.memory import NAMES
from bench.runs.store import Store
from bench.testing import interactions_from

N_ITEMS = 6
ROWS = st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=5), min_size=1, max_size=6)


def by_hand(train, history, test):
    found = []
    for known, wanted in zip(history, test, strict=True):
        for item in wanted:
            follows = any(
                (known[-1:], [item]) == (row[i : i + 1], row[i + 1 : i + 2]) for row in train for i in range(5)
            )
            beside = any(item in row and set(row) & set(known) for row in train)
            found.append(NAMES[0] if known and follows else NAMES[1] if beside else NAMES[2])
    return found


@given(ROWS, st.data())
def test_cases_are_those_of_the_definition(train, data):
    history, test = [], []
    for row in train:
        others = [item for item in range(N_ITEMS) if item not in row]
        chosen = data.draw(st.lists(st.sampled_from(others), unique=True)) if others else []
        cut = data.draw(st.integers(0, len(chosen)))
        history.append(row + chosen[:cut])  # train, and perhaps what validation holds
        test.append(chosen[cut:])
    found = memory.memory(*(interactions_from(rows, N_ITEMS) for rows in (train, history, test)))
    assert list(found) == list(NAMES)
    names = np.array(NAMES)[np.stack(list(found.values())).argmax(axis=0)].tolist() if any(test) else []
    assert names == by_hand(train, history, test)
    assert (np.stack(list(found.values())).sum(axis=0) == 1).all()


@pytest.mark.parametrize("pairs", [1, 7])
def test_it_does_not_matter_how_many_pairs_are_looked_up_at_once(pairs, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [rng.permutation(40)[:12].tolist() for _ in range(30)]
    train, test = (interactions_from([row[part] for row in rows], 40) for part in (slice(0, 6), slice(6, 12)))
    expected = memory.memory(train, train, test)
    monkeypatch.setattr(memory, "_PAIRS_AT_ONCE", pairs)
    for name, mask in memory.memory(train, train, test).items():
        np.testing.assert_array_equal(mask, expected[name])


def test_groups_of_a_run_share_the_test_items(tiny_cards, tmp_path):
    frame = bench.run("pop", "tiny", results=tmp_path, groups=["memory"])
    [result] = Store(tmp_path).results()
    assert {*NAMES} <= set(result.groups)
    hits = {name: result.groups[name].metrics["recall@10"] for name in NAMES if result.groups[name].n}
    assert len(hits) > 1
    assert all(f"{name}/ndcg@10" in frame for name in hits)
