"""Approximate lists against exact ones."""

import builtins

import numpy as np
import pytest
from bench_neural.collaborative.config import JPQConfig, MFConfig
from bench_neural.collaborative.jpq import JPQ
from bench_neural.collaborative.models import MF
from bench_neural.search import Index, recall
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import UNFILLED, ConfigError, rank
from bench.testing import LocalContext, ModelChecks, block_interactions, interactions_from

SMALL = {"embedding_size": 8, "epochs": 2, "negatives": 16, "batch_size": 64}


class TestMF(ModelChecks):
    name = "mf"
    options = {**SMALL, "search": "faiss", "probes": 1.0}


def made(n_users, n_items, seed, longest):
    """Vectors, biases and what each user must not get."""
    rng = np.random.default_rng(seed)
    users, items = (rng.normal(0, 1, (n, 6)).astype(np.float32) for n in (n_users, n_items))
    items *= rng.lognormal(0, 1, (n_items, 1)).astype(np.float32)  # of very different lengths
    bias = rng.normal(0, 1, n_items).astype(np.float32)
    seen = [sorted(rng.choice(n_items, rng.integers(0, longest + 1), replace=False)) for _ in range(n_users)]
    return users, items, bias, interactions_from(seen, n_items)


def exact(users, items, bias, exclude, k):
    return rank(lambda rows: users[rows] @ items.T + bias, exclude, k)


@settings(max_examples=20)
@given(n_items=st.integers(1, 300), k=st.integers(1, 12), seed=st.integers(0, 99))
def test_with_all_lists_looked_at_nothing_is_lost(n_items, k, seed):
    users, items, bias, exclude = made(7, n_items, seed, min(n_items, 40))
    found, expected = (
        Index(items, bias, 1.0).lists(users, exclude, k),
        exact(users, items, bias, exclude, k),
    )
    np.testing.assert_array_equal(found.items == UNFILLED, expected.items == UNFILLED)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-3, atol=1e-3)
    assert recall(found.items, expected.items) > 0.98  # neighbours of nearly the same score may change places


@pytest.mark.parametrize("probes", [0.02, 0.1])
def test_lists_hold_nothing_excluded_and_are_never_shorter(probes):
    users, items, bias, exclude = made(50, 3000, 1, 2995)
    found = Index(items, bias, probes).lists(users, exclude, 20)
    assert [len(set(row[row != UNFILLED])) for row in found.items] == np.minimum(20, 3000 - exclude.lengths).tolist()
    for row, own in zip(found.items, np.split(exclude.items, exclude.indptr[1:-1]), strict=True):
        assert not set(row) & set(own.tolist())
    assert (np.diff(np.where(found.items == UNFILLED, -1e9, found.scores), axis=1) <= 0).all()


def test_some_lists_find_most_of_it():
    users, items, bias, exclude = made(200, 20_000, 2, 30)
    shares = [
        recall(Index(items, bias, probes).lists(users, exclude, 10).items, exact(users, items, bias, exclude, 10).items)
        for probes in (0.05, 0.2, 1.0)
    ]
    assert 0.5 < shares[0] <= shares[1] <= shares[2]
    assert shares[1] > 0.9


@pytest.mark.parametrize("probes", [0.02, 0.1])
def test_a_list_of_ten_begins_that_of_a_hundred(probes):
    """Also where the lists that are looked at have more than ten items and fewer than a hundred."""
    users, items, bias, exclude = made(50, 3000, 3, 30)
    index = Index(items, bias, probes)
    np.testing.assert_array_equal(index.lists(users, exclude, 10).items, index.lists(users, exclude, 100).items[:, :10])


def test_recall_is_the_share_of_exact_items():
    found = np.array([[1, 2, UNFILLED], [4, 5, 6]], np.int32)
    assert recall(found, np.array([[2, 3, UNFILLED], [6, 5, 4]], np.int32)) == 4 / 5


@pytest.mark.parametrize(("kind", "config"), [(MF, MFConfig), (JPQ, JPQConfig)])
def test_what_is_lost_is_told_and_saved_models_search_too(kind, config, tmp_path):
    options = {**SMALL, "codes": 4} if kind is JPQ else SMALL
    data = block_interactions()
    users = np.arange(data.train.n_users)
    lists = []
    for search in ("exact", "faiss"):
        model = kind(config(**options, search=search, probes=0.5))
        context = LocalContext(model, data, tmp_path / search)
        model.fit(data.train, data.valid, context)
        lists.append(model.recommend(users, data.train, data.train, 10))
    known = np.flatnonzero(data.train.lengths)
    assert context.facts["search_recall"] == pytest.approx(recall(lists[1].items[known], lists[0].items[known]))
    assert context.facts["caveat"].startswith("lists by faiss, which has ")
    (tmp_path / "kept").mkdir()
    model.save(tmp_path / "kept")
    again = kind(config(**options, search="faiss", probes=0.5))
    again.load(tmp_path / "kept", "cpu")
    np.testing.assert_array_equal(again.recommend(users, data.train, data.train, 10).items, lists[1].items)


def test_without_faiss_it_is_one_line(monkeypatch):
    plain = builtins.__import__

    def without(name, *rest, **named):
        if name == "faiss":
            raise ImportError(name)
        return plain(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"search=faiss needs faiss: pip install 'recsys-bench-neural\[faiss\]'"):
        Index(np.ones((3, 2), np.float32), np.zeros(3, np.float32), 1.0)
