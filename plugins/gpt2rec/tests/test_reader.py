"""States of texts: padding, both modes, gradients, and that no cache is older than the weights."""

import copy

import numpy as np
import pytest
import torch
from bench_gpt2rec import backbone, reader
from bench_gpt2rec.reader import Described, Reader, States, Wanted
from bench_gpt2rec.sampling import Sampler
from bench_gpt2rec.step import losses
from transformers import AutoModel, AutoTokenizer

from bench.contract import Recommendations
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
    monkeypatch.setattr(reader, "_TOKENS_AT_ONCE", at_once)
    rows = tiny.random_rows(15)
    of = tiny.documents(rows)
    made = Reader(tiny.language_model(kind), of, by_token=True)
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
    made = Reader(tiny.language_model(kind).eval(), of, by_token=False)
    made.switch(mode)
    table = np.array([[3, 1], [-1, -1], [7, -1], [14, 0]])
    with torch.no_grad():
        (found,) = made(Wanted(table))
        means = [tiny.plain_states(made.model, of, document).mean(0) for document in range(15)]
    expected = torch.stack([(means[3] + means[1]) / 2, torch.zeros(12), means[7], (means[14] + means[0]) / 2])
    torch.testing.assert_close(found.mean(), expected, atol=1e-5, rtol=1e-4)
    assert found.there.tolist() == [True, False, True, True]


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
    made = Reader(tiny.language_model(kind).eval(), of, by_token)
    made.switch("cached")
    wanted = Wanted(np.array([[3, 1], [-1, -1], [14, -1], [3, 0]]), most), Wanted(column([2, 3, -1, 13, 2]))
    with torch.no_grad():
        cached = made(*wanted)
        made.switch("dynamic")
        dynamic = made(*wanted)
        fresh = made(*wanted, fresh=True)
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
    made = Reader(tiny.language_model("bert").eval(), of, by_token)
    with torch.no_grad():
        (found,) = made(Wanted(column(range(9)), 2))
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
    seen = reads(net.reader)
    for batch in Sampler(train, 16, 6, 3, 1).batches(1):
        seen.clear()
        losses(settings, net, batch)
        needed = {items[item] for item in (*batch.positives, *batch.negatives, *batch.known[batch.known >= 0])} - {-1}
        assert len(seen) == len(needed)
        assert set(seen) == {rows[document] for document in needed}
        net.reader.switch("cached")
        seen.clear()
        losses(settings, net, batch)
        assert not seen
        net.reader.switch("dynamic")


def test_nothing_is_read_twice_for_lists(tiny, tmp_path):
    model, _ = tiny.fit(tmp_path, strategy="cached")
    seen = reads(model._network.reader)
    expected = tiny.lists(model)
    assert not seen
    assert model._network.reader.mode == "cached"
    loaded = tiny.reloaded(model, tmp_path / "saved")
    seen = reads(loaded._network.reader)
    np.testing.assert_array_equal(tiny.lists(loaded).items, expected.items)
    assert len(seen) == len(set(seen)) == 48
    tiny.lists(loaded)
    assert len(seen) == 48


# Gradients.


def adapted(tiny, folder, **changes):
    """A pretrained model with adapters whose second halves are not 0, as they are at first."""
    settings = tiny.config(backbone=str(folder), adapt="lora", lora_rank=3, **changes)
    made = backbone.adapted(backbone.find(settings).model, settings)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return settings, made


def batch_and_network(tiny, model, settings, profiles=None):
    rows = tiny.random_rows(30, most=6)
    of = tiny.documents(rows[:24], [-1, *range(22), 5], profiles)
    net = tiny.network(settings, of, n_users=8, model=model)
    rng = np.random.default_rng(1)
    train = interactions_from([rng.permutation(24)[:4].tolist() for _ in range(8)], 24)
    return next(Sampler(train, 20, 6, settings.history, 1).batches(1)), net


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fusion", ["attention", "pooled", "concat"])
def test_gradients_reach_adapters_in_dynamic_mode_alone(tiny, gpt2_folder, bert_folder, kind, fusion):
    settings, model = adapted(tiny, {"gpt2": gpt2_folder, "bert": bert_folder}[kind], fusion=fusion)
    batch, net = batch_and_network(tiny, model, settings)
    adapters = [name for name, p in model.named_parameters() if p.requires_grad]
    # In and out, of two layers: attention and both projections of GPT-2, query and value of BERT.
    assert len(adapters) == 2 * 2 * {"gpt2": 3, "bert": 2}[kind]
    assert all("lora" in name for name in adapters)
    for mode in ("dynamic", "cached", "dynamic"):
        net.zero_grad()
        net.reader.switch(mode)
        losses(settings, net, batch)["total"].backward()
        reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        assert reached == (set(adapters) if mode == "dynamic" else set()), mode
        assert net.users.ids.weight.grad.abs().sum() > 0
        assert net.items.fusion.norm_states.weight.grad.abs().sum() > 0 if fusion != "concat" else True


def test_gradients_reach_every_weight_of_an_encoder_from_scratch(tiny):
    settings = tiny.config()
    batch, net = batch_and_network(tiny, None, settings)
    losses(settings, net, batch)["total"].backward()
    idle = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert not idle
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())  # some items and histories have no text


def test_gradients_of_the_encoder_are_those_of_differences(tiny):
    """A weight moved a little by hand moves the loss as its gradient says."""
    settings = tiny.config(hardness=0.0)
    batch, net = batch_and_network(tiny, None, settings)
    weight = net.reader.model.h[0].mlp.c_fc.weight

    def loss():
        return float(losses(settings, net, batch)["total"])

    losses(settings, net, batch)["total"].backward()
    direction = weight.grad / weight.grad.norm()
    expected, step = float(weight.grad.norm()), 1e-2
    with torch.no_grad():
        weight.add_(step * direction)
        above = loss()
        weight.sub_(2 * step * direction)
        below = loss()
    assert (above - below) / (2 * step) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimiser_step_moves_dynamic_states_and_leaves_cached_ones(tiny, gpt2_folder, bert_folder, kind):
    settings, model = adapted(tiny, {"gpt2": gpt2_folder, "bert": bert_folder}[kind])
    batch, net = batch_and_network(tiny, model, settings)
    wanted = Wanted(column(range(20)))
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.5)

    def step():
        optimizer.zero_grad()
        losses(settings, net, batch)["total"].backward()
        optimizer.step()

    def states():
        net.eval()
        with torch.no_grad():
            tokens, mask = net.reader(wanted)[0].states
        net.train()
        return tokens[mask]

    net.reader.switch("cached")
    before, ids = states(), net.items.ids.weight.detach().clone()
    step()
    assert torch.equal(states(), before)
    assert not torch.equal(net.items.ids.weight, ids)
    net.reader.switch("dynamic")
    torch.testing.assert_close(states(), before, atol=1e-5, rtol=1e-4)
    step()
    after = states()
    assert (after - before).abs().max() > 1e-3
    # A cache that is asked for now is one of the new weights.
    net.reader.switch("cached")
    torch.testing.assert_close(states(), after, atol=1e-5, rtol=1e-4)


def test_states_are_computed_without_dropout_when_they_are_kept(tiny):
    of = tiny.documents(tiny.random_rows(15))
    model = tiny.language_model(dropout=0.5)
    made = Reader(model, of, by_token=True)
    made.train()
    made.switch("cached")
    assert model.training
    with torch.no_grad():
        (found,) = made(Wanted(column(range(15))))
        model.eval()
        torch.testing.assert_close(found.states.tokens[3, : of.lengths[3]], tiny.plain_states(model, of, 3))
        model.train()
        made.switch("dynamic")
        (noisy,) = made(Wanted(column(range(15))))
    assert not torch.allclose(noisy.states.tokens, found.states.tokens, atol=1e-2)


def test_a_cache_is_filled_anew_only_for_other_weights(tiny):
    made = Reader(tiny.language_model(), tiny.documents(tiny.random_rows(9)), by_token=True)
    seen, told = reads(made), []
    made.progress = lambda done, total: told.append((done, total))
    assert made.refresh()
    assert len(seen) == 9
    assert told[-1] == (9, 9)
    assert not made.refresh()
    made.switch("cached")
    made.switch("dynamic")
    assert len(seen) == 9
    last = list(made.model.parameters())[-1]
    with torch.no_grad():
        last[-1] += 1e-6
    assert made.refresh()
    assert len(seen) == 18


# Live models.


def disturb(model, only="", seed=3):
    """Another encoder in the place of the trained one, weight by weight."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model._network.reader.model.named_parameters():
            if only in name and parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.5)


def assert_reads_anew(tiny, model, folder):
    """The model's lists and reasons are those of a model that has its weights and nothing else."""
    anew = tiny.reloaded(model, folder)
    found, expected = tiny.lists(model), tiny.lists(anew)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)
    users = np.array([0, 17])
    few, history = Recommendations(found.items[users, :3], found.scores[users, :3]), tiny.DATA.train.select(users)
    assert model.explain(users, history, few) == anew.explain(users, history, few)
    return found.scores


@pytest.mark.parametrize("strategy", ["dynamic", "two-stage"])
@pytest.mark.parametrize("fusion", ["attention", "concat"])
@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_no_list_comes_from_a_cache_older_than_the_weights(tiny, tmp_path, gpt2_folder, strategy, fusion, adapt):
    options = {"adapt": "lora", "backbone": str(gpt2_folder)} if adapt == "lora" else {}
    model, _ = tiny.fit(
        tmp_path / "work", strategy=strategy, fusion=fusion, epochs=1, cached_epochs=1, dynamic_epochs=1, **options
    )
    seen = [assert_reads_anew(tiny, model, tmp_path / "0")]
    # In place, in all states that a live model may be in.
    for at, mode in enumerate((None, "cached", "dynamic", "cached"), 1):
        if mode is not None:
            model.switch(mode)
            np.testing.assert_array_equal(tiny.lists(model).scores, seen[-1])
        disturb(model, seed=at)
        seen.append(assert_reads_anew(tiny, model, tmp_path / str(at)))
        assert not np.allclose(seen[-1], seen[-2], rtol=1e-3)


def test_reasons_come_from_no_old_cache_either(tiny, tmp_path):
    model, _ = tiny.fit(tmp_path / "work")
    users = np.array([0, 17, 30])
    history = tiny.DATA.train.select(users)
    found = model.recommend(users, history, history, 3)
    before = model.explain(users, history, found)
    disturb(model)
    after = model.explain(users, history, found)  # and nothing was recommended since
    assert after != before
    assert after == tiny.reloaded(model, tmp_path / "saved").explain(users, history, found)


def test_a_model_switched_to_cached_trains_on_the_weights_of_then(tiny, tmp_path):
    """``switch`` keeps what the encoder has learnt so far, and steps after it see that."""
    model, _ = tiny.fit(tmp_path, strategy="dynamic")
    net = model._network
    batch = next(Sampler(tiny.DATA.train, 32, 8, 3, 5).batches(1))
    net.eval()
    with torch.no_grad():
        for _ in range(2):
            disturb(model)
            model.switch("dynamic")
            expected = float(losses(model.config, net, batch)["bpr"])
            model.switch("cached")
            assert float(losses(model.config, net, batch)["bpr"]) == pytest.approx(expected, rel=1e-4)
            disturb(model)  # what is behind the cached states does not matter to training
            assert float(losses(model.config, net, batch)["bpr"]) == pytest.approx(expected, rel=1e-4)


def test_states_are_those_of_the_library(tiny, gpt2_folder, bert_folder):
    """The same texts through the library's own tokenizer, padding and model, without this package."""
    from bench_gpt2rec.documents import Texts, tokenise

    texts = ["title thing 7 of kind 3", "kind", "of kind 2 title", "naïve café"]
    for folder in (gpt2_folder, bert_folder):
        settings = tiny.config(backbone=str(folder), item_tokens=16, user_tokens=16)
        found = backbone.find(settings)
        of = tokenise(Texts(texts, 3, np.arange(3), np.array([3])), found.tokenizer, settings)
        made = Reader(found.model.eval(), of, by_token=True)
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


def test_a_copy_of_a_reader_does_not_share_its_cache(tiny):
    made = Reader(tiny.language_model(), tiny.documents(tiny.random_rows(6)), by_token=True)
    made.switch("cached")
    other = copy.deepcopy(made)
    (expected,) = made(Wanted(column(range(6))))
    expected = expected.states.tokens.clone()
    with torch.no_grad():
        tiny.shake(other.model, seed=4)
    other.switch("cached")
    assert torch.equal(made(Wanted(column(range(6))))[0].states.tokens, expected)
    assert not torch.equal(other(Wanted(column(range(6))))[0].states.tokens, expected)


def test_a_mean_over_documents_counts_each_alike():
    states = States(torch.arange(12.0).view(3, 2, 2), torch.tensor([[True, True], [True, False], [True, True]]))
    means = [[1.0, 2.0], [4.0, 5.0], [9.0, 10.0]]  # of the second, the first token alone
    described = Described(states, torch.tensor([[0, 1], [2, -1], [-1, -1], [1, 2]]))
    expected = [[2.5, 3.5], means[2], [0.0, 0.0], [6.5, 7.5]]
    torch.testing.assert_close(described.mean(), torch.tensor(expected))
