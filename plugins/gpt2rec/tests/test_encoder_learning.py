"""An encoder that learns: gradients, and that no list comes from a cache older than the weights."""

import numpy as np
import pytest
import torch
from bench_gpt2rec import backbone
from bench_gpt2rec.encoder import Request
from bench_gpt2rec.sampling import Sampler
from bench_gpt2rec.step import losses

from bench import Recommendations
from bench.testing import interactions_from

KINDS = ["gpt2", "bert"]


def adapted(tiny, folder, **changes):
    """A pretrained model with adapters whose second halves are not 0, as they are at first."""
    settings = tiny.config(backbone=str(folder), finetuning="lora", lora_rank=3, **changes)
    made = backbone.adapted(backbone.pretrained(settings).model, settings)
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
        net.encoder.switch(mode)
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
    settings = tiny.config(adversarial_temperature=0.0)
    batch, net = batch_and_network(tiny, None, settings)
    weight = net.encoder.model.h[0].mlp.c_fc.weight

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
def test_an_optimizer_step_moves_dynamic_states_and_leaves_cached_ones(tiny, gpt2_folder, bert_folder, kind):
    settings, model = adapted(tiny, {"gpt2": gpt2_folder, "bert": bert_folder}[kind])
    batch, net = batch_and_network(tiny, model, settings)
    wanted = Request(np.arange(20)[:, None])
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.5)

    def step():
        optimizer.zero_grad()
        losses(settings, net, batch)["total"].backward()
        optimizer.step()

    def states():
        net.eval()
        with torch.no_grad():
            tokens, mask = net.encoder(wanted)[0].states
        net.train()
        return tokens[mask]

    net.encoder.switch("cached")
    before, ids = states(), net.items.ids.weight.detach().clone()
    step()
    assert torch.equal(states(), before)
    assert not torch.equal(net.items.ids.weight, ids)
    net.encoder.switch("dynamic")
    torch.testing.assert_close(states(), before, atol=1e-5, rtol=1e-4)
    step()
    after = states()
    assert (after - before).abs().max() > 1e-3
    # A cache that is asked for now is one of the new weights.
    net.encoder.switch("cached")
    torch.testing.assert_close(states(), after, atol=1e-5, rtol=1e-4)


# Live models.


def disturb(model, only="", seed=3):
    """Another encoder in the place of the trained one, weight by weight."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model._network.encoder.model.named_parameters():
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
@pytest.mark.parametrize("finetuning", ["full", "lora"])
def test_no_list_comes_from_a_cache_older_than_the_weights(tiny, tmp_path, gpt2_folder, strategy, fusion, finetuning):
    options = {"finetuning": "lora", "backbone": str(gpt2_folder)} if finetuning == "lora" else {}
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
