"""Scores: split layers against the whole network, all pairs against single ones, and what ranking holds at a time."""

import numpy as np
import pytest
import torch
from bench_gpt2rec import scoring
from bench_gpt2rec.scoring import Scorer

HEADS = ["product", "mlp", "both"]


def made(tiny, scorer, hidden=(7, 5), width=6, n_items=9):
    torch.manual_seed(0)
    return tiny.shake(Scorer(tiny.config(scorer=scorer, hidden_sizes=hidden), width, n_items)).eval()


def vectors(n, seed, width=6):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("hidden", [(7,), (7, 5), (4, 6, 3)])
@pytest.mark.parametrize("at_once", [None, 1, 4, 10, 23])
def test_all_ways_to_score_agree(tiny, monkeypatch, head, hidden, at_once):
    if at_once is not None:
        monkeypatch.setattr(scoring, "_PAIRS_AT_ONCE", at_once)
    scorer, u, v = made(tiny, head, hidden), vectors(5, 1), vectors(9, 2)
    users, items = scorer.users(u), scorer.items(v, torch.arange(9))
    with torch.no_grad():
        every, ranked = scorer.score_all(users, items), scorer.score_blocks(users, items)
        expected = [[tiny.plain_score(scorer, one, other, at) for at, other in enumerate(v)] for one in u]
        torch.testing.assert_close(every, torch.tensor(expected), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ranked, every, atol=1e-5, rtol=1e-4)
        left, right = torch.tensor([0, 4, 2, 2, 1]), torch.tensor([8, 0, 3, 5, 3])
        pairs = scorer.score_pairs(users.rows(left), items.rows(right))
        torch.testing.assert_close(pairs, every[left, right], atol=1e-5, rtol=1e-4)


def test_a_product_has_a_bias_and_a_network_has_none(tiny):
    zero = torch.zeros(2, 6)
    product = made(tiny, "product")
    found = product.score_all(product.users(zero), product.items(zero, torch.tensor([3, 7])))
    assert torch.equal(found, product.bias[[3, 7]].expand(2, 2))
    assert made(tiny, "mlp").bias is None


def test_items_keep_their_own_bias_when_only_some_are_scored(tiny):
    scorer, u, v = made(tiny, "both"), vectors(3, 1), vectors(9, 2)
    chosen = torch.tensor([7, 0, 4])
    every = scorer.score_all(scorer.users(u), scorer.items(v, torch.arange(9)))
    some = scorer.score_all(scorer.users(u), scorer.items(v[chosen], chosen))
    torch.testing.assert_close(some, every[:, chosen])


def test_both_begins_as_the_product(tiny):
    torch.manual_seed(0)
    both = Scorer(tiny.config(scorer="both"), 6, 9)
    u, v = vectors(4, 1), vectors(9, 2)
    found = both.score_all(both.users(u), both.items(v, torch.arange(9)))
    torch.testing.assert_close(found, u @ v.T)
    found.square().sum().backward()
    assert both.rest[-1].weight.grad.abs().sum() > 0  # and leaves that behind


@pytest.mark.parametrize(("n_users", "n_items"), [(40, 30), (1, 500), (300, 3), (1, 1)])
def test_ranking_holds_few_pairs_at_a_time(tiny, monkeypatch, n_users, n_items):
    monkeypatch.setattr(scoring, "_PAIRS_AT_ONCE", 64)
    scorer = made(tiny, "mlp", n_items=n_items)
    held = []
    for layer in scorer.rest:
        layer.register_forward_pre_hook(lambda module, args: held.append(args[0][..., 0].numel()))
    users, items = scorer.users(vectors(n_users, 1)), scorer.items(vectors(n_items, 2), torch.arange(n_items))
    with torch.no_grad():
        scorer.score_blocks(users, items)
    assert max(held) <= 64
    calls = len(held) / len(scorer.rest)
    assert calls <= 4 * (-(-n_users * n_items // 64))  # and not one by one either


def test_each_half_is_computed_once_however_many_pairs_there_are(tiny):
    scorer = made(tiny, "mlp", n_items=50)
    rows = {"user_half": 0, "item_half": 0}
    for name in rows:

        def count(module, args, name=name):
            rows[name] += len(args[0])

        getattr(scorer, name).register_forward_pre_hook(count)
    users, items = scorer.users(vectors(20, 1)), scorer.items(vectors(50, 2), torch.arange(50))
    with torch.no_grad():
        scorer.score_blocks(users, items)
    assert rows == {"user_half": 20, "item_half": 50}


def test_lists_do_not_depend_on_how_many_pairs_are_held(tiny, tmp_path, monkeypatch):
    model, _ = tiny.fit(tmp_path, scorer="mlp", strategy="cached", epochs=1)
    expected = tiny.lists(model)
    monkeypatch.setattr(scoring, "_PAIRS_AT_ONCE", 100)
    found = tiny.lists(model)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-5)
