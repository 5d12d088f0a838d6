"""States of texts: padding, both modes, and what is kept of them."""

import copy

import numpy as np
import pytest
import torch
from bench_gpt2rec import backbone, encoder
from bench_gpt2rec.encoder import Request, States, TextEncoder, TextFeatures
from bench_gpt2rec.sampling import Sampler
from bench_gpt2rec.step import losses
from transformers import AutoModel, AutoTokenizer

from bench.testing import interactions_from

KINDS = ["gpt2", "bert"]


def column(numbers):
    return np.array(numbers, np.int64)[:, None]


def reads(made, monkeypatch=None):
    """Rows of real tokens that reach the model from now on."""
    seen = []

    def watch(module, args, named):
        for ids, mask in zip(named["input_ids"], named["attention_mask"], strict=True):
            seen.append(tuple(ids[mask.bool()].tolist()))

    made.model.register_forward_pre_hook(watch, with_kwargs=True)
    return seen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_once", [1, 9, 10**6])
def test_a_text_is_read_the_same_alone_and_beside_longer_ones(tiny, monkeypatch, kind, at_once):
    monkeypatch.setattr(encoder, "_TOKENS_AT_ONCE", at_once)
    rows = tiny.random_rows(15)
    of = tiny.documents(rows)
    made = TextEncoder(tiny.language_model(kind), of, by_token=True)
    chosen = np.array([4, 0, 9, 11, 2, 14])
    with torch.no_grad():
        found = made.encode(chosen)
        assert found.tokens.shape[:2] == found.mask.shape == (6, max(len(rows[one]) for one in chosen))
        for at, document in enumerate(chosen):
            length = len(rows[document])
            assert found.mask[at].tolist() == [True] * length + [False] * (found.mask.shape[1] - length)
            expected = tiny.plain_states(made.model, of, document)
            torch.testing.assert_close(found.tokens[at, :length], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["cached", "dynamic"])
def test_means_leave_padding_out(tiny, kind, mode):
    rows = tiny.random_rows(15)
    of = tiny.documents(rows)
    made = TextEncoder(tiny.language_model(kind).eval(), of, by_token=False)
    made.switch(mode)
    table = np.array([[3, 1], [-1, -1], [7, -1], [14, 0]])
    with torch.no_grad():
        (found,) = made(Request(table))
        means = [tiny.plain_states(made.model, of, document).mean(0) for document in range(15)]
    expected = torch.stack([(means[3] + means[1]) / 2, torch.zeros(12), means[7], (means[14] + means[0]) / 2])
    torch.testing.assert_close(found.mean(), expected, atol=1e-5, rtol=1e-4)
    assert found.mask.tolist() == [True, False, True, True]


def test_what_stands_behind_a_text_reaches_no_mean():
    tokens = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True, True, False, False], [True] * 4, [False] * 4])
    expected = torch.stack([(tokens[0, 0] + tokens[0, 1]) / 2, sum(tokens[1]) / 4, torch.zeros(5)])
    for noise in (0.0, 1e6):
        torch.testing.assert_close(States(tokens + noise * ~mask[..., None], mask).mean(), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_token", [True, False])
@pytest.mark.parametrize("most", [None, 3])
def test_both_modes_give_the_same_states(tiny, kind, by_token, most):
    of = tiny.documents(tiny.random_rows(15))
    made = TextEncoder(tiny.language_model(kind).eval(), of, by_token)
    made.switch("cached")
    wanted = Request(np.array([[3, 1], [-1, -1], [14, -1], [3, 0]]), most), Request(column([2, 3, -1, 13, 2]))
    with torch.no_grad():
        cached = made(*wanted)
        made.switch("dynamic")
        dynamic = made(*wanted)
        fresh = made(*wanted, cached=True)
    for expected, *others in zip(cached, dynamic, fresh, strict=True):
        for other in others:
            torch.testing.assert_close(other.documents, expected.documents)
            # One may be padded further than the other.
            length = expected.states.mask.shape[1]
            assert not other.states.mask[:, length:].any()
            torch.testing.assert_close(other.states.mask[:, :length], expected.states.mask)
            real = expected.states.mask
            torch.testing.assert_close(
                other.states.tokens[:, :length][real], expected.states.tokens[real], atol=1e-5, rtol=1e-4
            )
            torch.testing.assert_close(other.mean(), expected.mean(), atol=1e-5, rtol=1e-4)
    if by_token:
        lengths = np.minimum(of.lengths, most or 99)
        chosen, at = cached[0].documents[3, 0], int(cached[0].documents[3, 1])
        assert cached[0].states.mask.sum(1)[chosen] == lengths[3]
        assert cached[0].states.mask.sum(1)[at] == lengths[0]


@pytest.mark.parametrize("by_token", [True, False])
def test_first_tokens_are_those_of_the_whole_text(tiny, by_token):
    # A model that reads from left to right does not tell; BERT does.
    of = tiny.documents(tiny.random_rows(9))
    made = TextEncoder(tiny.language_model("bert").eval(), of, by_token)
    with torch.no_grad():
        (found,) = made(Request(column(range(9)), 2))
        for document in range(9):
            whole = tiny.plain_states(made.model, of, document)
            expected = whole[:2] if by_token else whole.mean(0)[None]
            at = int(found.documents[document, 0])
            real = found.states.mask[at]
            torch.testing.assert_close(found.states.tokens[at][real], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fusion", ["attention", "concat"])
def test_each_distinct_text_of_a_batch_is_read_once(tiny, fusion):
    rows = list(dict.fromkeys(map(tuple, tiny.random_rows(40))))
    rng = np.random.default_rng(0)
    # Items share texts, and some have none.
    items = [int(rng.integers(-1, len(rows))) for _ in range(30)]
    of = tiny.documents(rows, items)
    settings = tiny.config(fusion=fusion)
    net = tiny.network(settings, of, n_users=12)
    train = interactions_from([rng.permutation(30)[:5].tolist() for _ in range(12)], 30)
    seen = reads(net.encoder)
    for batch in Sampler(train, 16, 6, 3, 1).batches(1):
        seen.clear()
        losses(settings, net, batch)
        needed = {items[item] for item in (*batch.positives, *batch.negatives, *batch.known[batch.known >= 0])} - {-1}
        assert len(seen) == len(needed)
        assert set(seen) == {rows[document] for document in needed}
        net.encoder.switch("cached")
        seen.clear()
        losses(settings, net, batch)
        assert not seen
        net.encoder.switch("dynamic")


def test_nothing_is_read_twice_for_lists(tiny, tmp_path):
    model, _ = tiny.fit(tmp_path, strategy="cached")
    seen = reads(model._network.encoder)
    expected = tiny.lists(model)
    assert not seen
    assert model._network.encoder.mode == "cached"
    loaded = tiny.reloaded(model, tmp_path / "saved")
    seen = reads(loaded._network.encoder)
    np.testing.assert_array_equal(tiny.lists(loaded).items, expected.items)
    assert len(seen) == len(set(seen)) == 48
    tiny.lists(loaded)
    assert len(seen) == 48


def test_states_are_computed_without_dropout_when_they_are_kept(tiny):
    of = tiny.documents(tiny.random_rows(15))
    model = tiny.language_model(dropout=0.5)
    made = TextEncoder(model, of, by_token=True)
    made.train()
    made.switch("cached")
    assert model.training
    with torch.no_grad():
        (found,) = made(Request(column(range(15))))
        model.eval()
        torch.testing.assert_close(found.states.tokens[3, : of.lengths[3]], tiny.plain_states(model, of, 3))
        model.train()
        made.switch("dynamic")
        (noisy,) = made(Request(column(range(15))))
    assert not torch.allclose(noisy.states.tokens, found.states.tokens, atol=1e-2)


def test_a_cache_is_filled_anew_only_for_other_weights(tiny):
    made = TextEncoder(tiny.language_model(), tiny.documents(tiny.random_rows(9)), by_token=True)
    seen, told = reads(made), []
    made.progress = lambda done, total: told.append((done, total))
    assert made.rebuild_cache()
    assert len(seen) == 9
    assert told[-1] == (9, 9)
    assert not made.rebuild_cache()
    made.switch("cached")
    made.switch("dynamic")
    assert len(seen) == 9
    last = list(made.model.parameters())[-1]
    with torch.no_grad():
        last[-1] += 1e-6
    assert made.rebuild_cache()
    assert len(seen) == 18


def test_states_are_those_of_the_library(tiny, gpt2_folder, bert_folder):
    """The same texts through the library's own tokenizer, padding and model, without this package."""
    from bench_gpt2rec.documents import Texts, tokenize

    texts = ["title thing 7 of kind 3", "kind", "of kind 2 title", "naïve café"]
    for folder in (gpt2_folder, bert_folder):
        settings = tiny.config(backbone=str(folder), item_tokens=16, user_tokens=16)
        found = backbone.pretrained(settings)
        of = tokenize(Texts(texts, 3, np.arange(3), np.array([3])), found.tokenizer, settings)
        made = TextEncoder(found.model.eval(), of, by_token=True)
        tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
        tokenizer.padding_side = "right"
        inputs = tokenizer(texts, padding=True, return_tensors="pt")
        assert len(set(inputs["attention_mask"].sum(1).tolist())) > 1
        with torch.no_grad():
            real = inputs["attention_mask"].bool()
            ids = inputs["input_ids"].masked_fill(~real, 0)  # the token for padding has no embedding
            expected = model(input_ids=ids, attention_mask=inputs["attention_mask"]).last_hidden_state
            states = made.encode(np.arange(4))
        assert torch.equal(states.mask, real)
        torch.testing.assert_close(states.tokens[real], expected[real], atol=1e-5, rtol=1e-4)


def test_a_copy_of_an_encoder_does_not_share_its_cache(tiny):
    made = TextEncoder(tiny.language_model(), tiny.documents(tiny.random_rows(6)), by_token=True)
    made.switch("cached")
    other = copy.deepcopy(made)
    (expected,) = made(Request(column(range(6))))
    expected = expected.states.tokens.clone()
    with torch.no_grad():
        tiny.shake(other.model, seed=4)
    other.switch("cached")
    assert torch.equal(made(Request(column(range(6))))[0].states.tokens, expected)
    assert not torch.equal(other(Request(column(range(6))))[0].states.tokens, expected)


def test_a_mean_over_documents_counts_each_alike():
    states = States(torch.arange(12.0).view(3, 2, 2), torch.tensor([[True, True], [True, False], [True, True]]))
    means = [[1.0, 2.0], [4.0, 5.0], [9.0, 10.0]]  # of the second, the first token alone
    described = TextFeatures(states, torch.tensor([[0, 1], [2, -1], [-1, -1], [1, 2]]))
    expected = [[2.5, 3.5], means[2], [0.0, 0.0], [6.5, 7.5]]
    torch.testing.assert_close(described.mean(), torch.tensor(expected))
