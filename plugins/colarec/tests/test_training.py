"""The generator as a task of the training loop: parts, memory, bfloat16, initial values, pretrained networks.

That an interrupted training goes on as it would have gone, and the like, is tested of the loop itself in the toolkit;
here with all that this model draws at random.
"""

import numpy as np
import pytest
import torch
from bench_colarec.items import tokens
from bench_colarec.network import backbone
from bench_colarec.prepare import check, prepare
from bench_colarec.ranker import Ranker
from bench_colarec.training.step import Step
from bench_colarec.training.task import Generator, trainer_of
from bench_torchkit.testing import assert_equal_weights, copied
from bench_torchkit.trainer import Place

from bench import Validation
from bench.testing import Interrupted, LocalContext, block_interactions

DATA = block_interactions()
FIRST = Place(0, 1)


class Bench:
    """Everything that a training needs, without a model around it; validation scores are given or measured."""

    def __init__(self, tiny, folder, *, scores=None, seed=1, interrupt_after=0, processes=1, **changes):
        quick = {"content": False, "codebook_size": 4, "epochs": 4, "layers": 1, "batch_size": 32}
        self.config = tiny.config(**{**quick, **changes})
        self.context = LocalContext(self, DATA, folder, seed, interrupt_after=interrupt_after, processes=processes)
        if scores is not None:
            self.context.validate = self._planned(list(scores))
        table = tokens.no_text(DATA.train.n_items)
        check(self.config, self.context, DATA.train.n_items)
        self.parts, sampler = prepare(self.config, DATA.train, self.context, None, table)
        torch.manual_seed(seed)
        self.network = backbone.make(self.config, self.parts, None)
        self.step = Step(self.config, self.network, self.parts, sampler)
        self.task = Generator(self.config, self.network, self.step, self.ready)
        self.trainer = trainer_of(self.task, self.context)
        self.snapshots = []
        self.ranker = None

    def _planned(self, scores):
        """The harness's answers when the scores are these and patience is 2."""

        def validate():
            at = len(self.snapshots) - 1
            best = max(scores[:at], default=-1.0)
            stale = at - int(np.argmax(scores[: at + 1]))
            return Validation(scores[at], scores[at] > best, stale >= 2)

        return validate

    def ready(self):
        self.snapshots.append(copied(self.network.state_dict()))
        self.ranker = Ranker(self.config, self.network, self.parts)

    def recommend(self, users, history, exclude, k):
        return self.ranker.recommend(history, exclude, k)

    def train(self):
        self.trainer.train()
        return self.network.state_dict()

    def update(self, batch):
        """The first step of the optimizer."""
        self.trainer._begin(0)
        return self.trainer._update(batch, FIRST)


@pytest.fixture
def bench(tiny, tmp_path):
    count = iter(range(100))

    def make(folder=None, **changes):
        return Bench(tiny, folder or tmp_path / str(next(count)), **changes)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("settings", [
    {},
    {"samples": "interaction", "negative_sampling": "uniform", "loss": "bpr", "codebook": "position", "tied": False,
     "schedule": "constant", "positions": True, "gradient_accumulation_steps": 2, "batch_size": 128},
])  # fmt: skip
def test_an_interrupted_training_goes_on_as_it_would_have_gone(bench, tmp_path, settings):
    settings = {**settings, "dropout": 0.3}
    straight = bench(**settings)
    expected = straight.train()
    first = bench(tmp_path / "work", interrupt_after=2, **settings)
    with pytest.raises(Interrupted):
        first.train()
    assert_equal_weights(first.snapshots[-1], straight.snapshots[1])
    torch.manual_seed(12345)  # another process has other random numbers behind it
    second = bench(tmp_path / "work", **settings)
    found = second.train()
    assert len(second.snapshots) == 2
    assert_equal_weights(second.snapshots[-1], straight.snapshots[-1])
    assert_equal_weights(found, expected)
    assert second.context.scores == straight.context.scores
    assert any("epoch 2" in message for message in second.context.messages)


@pytest.mark.slow
def test_dropout_differs_between_epochs_and_seeds(bench, monkeypatch):
    plain, dropped = bench(epochs=1), bench(epochs=1, dropout=0.3)
    dropped.network.load_state_dict(plain.network.state_dict())
    plain.train()
    dropped.train()
    assert not torch.equal(plain.snapshots[0]["begin"], dropped.snapshots[0]["begin"])
    used, manual_seed = [], torch.manual_seed
    first, second = bench(dropout=0.3, epochs=3, batch_size=64), bench(dropout=0.3, epochs=3, batch_size=64, seed=2)
    monkeypatch.setattr(torch, "manual_seed", lambda seed: used.append(seed) or manual_seed(seed))
    first.train()
    second.train()
    assert len(used) == len(set(used)) == 6


def test_a_training_that_was_over_stays_over(bench, tmp_path):
    straight = bench(tmp_path / "work", scores=[0.1, 0.3, 0.2, 0.2, 0.9], epochs=5)
    expected = straight.train()
    assert len(straight.snapshots) == 4  # patience of 2 is over
    again = bench(tmp_path / "work", scores=[0.9] * 9, epochs=5)
    assert_equal_weights(again.train(), expected)
    assert not again.snapshots


def test_the_best_weights_are_kept(bench):
    training = bench(scores=[0.1, 0.4, 0.2, 0.3, 0.9], epochs=5)
    found = training.train()
    assert len(training.snapshots) == 4
    assert_equal_weights(found, training.snapshots[1])
    assert not torch.equal(found["begin"], training.snapshots[3]["begin"])


def test_the_best_weights_are_kept_when_time_is_up(bench):
    training = bench(scores=[0.1, 0.4, 0.2, 0.9], epochs=4)
    count = training.context.epochs
    training.context.epochs = lambda *given, **named: iter(list(count(*given, **named))[:3])
    assert_equal_weights(training.train(), training.snapshots[1])


def test_the_last_weights_are_kept_if_nothing_was_validated(bench):
    training = bench(epochs=2)
    training.context.validate = lambda: Validation(None, False, False)
    assert_equal_weights(training.train(), training.snapshots[-1])


def rec_only(**changes):
    zero = {f"{name}_weight": 0.0 for name in ("index", "bpr", "contrastive")}
    return {**zero, "batch_size": 24, "epochs": 1, "max_grad_norm": 1e9, **changes}


@pytest.mark.slow
def test_a_batch_in_parts_is_the_batch(bench):
    # L_rec is a mean over targets, so that parts weigh as much as they have targets.
    gradients = []
    for accumulate in (1, 4, 24):
        training = bench(**rec_only(gradient_accumulation_steps=accumulate))
        batch = next(iter(training.step.batches(1)))
        assert len({int((batch.rows == row).sum()) for row in range(24)}) > 1
        seen = {}
        names = dict(training.network.named_parameters())

        def keep(*_, names=names, seen=seen):
            seen.update({name: p.grad.clone() for name, p in names.items() if p.grad is not None})
            return torch.zeros(())

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.nn.utils, "clip_grad_norm_", keep)
            losses = training.update(batch)
        gradients.append((losses["rec"].item(), seen))
    (loss, whole), *others = gradients
    for other, parts in others:
        assert other == pytest.approx(loss, rel=1e-5)
        assert parts.keys() == whole.keys()
        for name, value in parts.items():
            torch.testing.assert_close(value, whole[name], atol=1e-6, rtol=1e-4)


@pytest.mark.slow
def test_two_processes_train_as_one_does_in_two_parts(bench):
    one, two = bench(gradient_accumulation_steps=2), bench(processes=2)
    expected, found = one.train(), two.train()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-4)
    assert two.context.scores == pytest.approx(one.context.scores)


def test_one_update_is_adamw_with_a_clipped_gradient(bench):
    training = bench(
        **rec_only(max_grad_norm=0.01, learning_rate=1e-2, weight_decay=0.1, schedule="constant", embedding_rate=0.5),
        init="vectors",
        codebook="prefix",
    )
    net = training.network
    batch = next(iter(training.step.batches(1)))
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    net.train()
    loss = training.step.loss(batch, np.random.default_rng(0))["rec"] * training.config.rec_weight
    gradients = dict(zip(before, torch.autograd.grad(loss, list(net.parameters()), allow_unused=True), strict=True))
    norm = sum(g.square().sum() for g in gradients.values() if g is not None).sqrt()
    training.update(batch)
    embeddings = {name for name in before if name.startswith(("table", "codebooks.inputs"))}  # begun from vectors
    for name, value in net.named_parameters():
        gradient = gradients[name]
        if gradient is None:
            assert torch.equal(value, before[name])
            continue
        rate = 1e-2 * (0.5 if name in embeddings else 1.0)
        gradient = gradient * min(1.0, 0.01 / (norm + 1e-6))
        # The first step of Adam: both averages, corrected for their start, are the gradient and its square.
        expected = before[name] * (1 - rate * 0.1) - rate * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(value.detach(), expected, atol=1e-5, rtol=1e-4)


def test_the_schedule_rises_and_falls_to_zero(bench):
    training = bench(epochs=40)
    trainer = training.trainer
    trainer._begin(0)
    n = training.step.n_batches() * 40
    rates = []
    for _ in range(n):
        rates.append(trainer.scheduler.get_last_lr()[0] / training.config.learning_rate)
        trainer.optimizer.step()
        trainer.scheduler.step()
    warm = int(np.ceil(n / 20))
    expected = [(step + 1) / warm if step < warm else (n - step) / (n - warm) for step in range(n)]
    assert rates == pytest.approx(expected)
    assert trainer.scheduler.get_last_lr()[0] == 0


@pytest.fixture
def out_of_memory(monkeypatch):
    """Batches of more than so many samples do not fit."""

    def limit(training, most):
        step = training.step
        loss, tried = step.loss, []

        def limited(batch, rng):
            tried.append(len(batch.users))
            if len(batch.users) > most:
                found = loss(batch, rng)
                (step.total(found) * 1e6).backward()  # gradients of the attempt are left behind
                raise torch.OutOfMemoryError
            return loss(batch, rng)

        monkeypatch.setattr(step, "loss", limited)
        return tried

    return limit


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_halved_until_it_does(bench, out_of_memory):
    training = bench(**rec_only(epochs=2, batch_size=16))
    expected = bench(**rec_only(epochs=2, batch_size=16)).train()
    tried = out_of_memory(training, 4)
    found = training.train()
    assert max(tried[2:]) <= 8  # a whole batch and its half were tried once each
    assert max(tried[4:]) <= 4
    assert training.trainer.parts == 4
    assert training.context.facts["batch_parts"] == 4
    assert [m for m in training.context.messages if "memory" in m] == [
        f"out of memory: batches are computed in {n} parts from now on" for n in (2, 4)
    ]
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], atol=2e-4, rtol=1e-3)


def test_a_sample_that_does_not_fit_is_an_error(bench, out_of_memory):
    training = bench(**rec_only(batch_size=16))
    tried = out_of_memory(training, 0)
    with pytest.raises(torch.OutOfMemoryError):
        training.train()
    assert min(tried) == 1


@pytest.mark.slow
def test_parts_outlive_an_interruption(bench, out_of_memory, tmp_path):
    first = bench(tmp_path / "work", interrupt_after=1, batch_size=16)
    out_of_memory(first, 4)
    with pytest.raises(Interrupted):
        first.train()
    second = bench(tmp_path / "work", batch_size=16)
    tried = out_of_memory(second, 4)
    second.train()
    assert max(tried) <= 4


@pytest.mark.slow
def test_bfloat16_trains(bench):
    training = bench(precision="bfloat16", epochs=6, learning_rate=5e-3)
    kinds = []
    wi = training.network.encoder.block[0].layer[1].DenseReluDense.wi
    wi.register_forward_hook(lambda module, _, out: kinds.append((module.training, out.dtype)))
    training.train()
    assert set(kinds) == {(True, torch.bfloat16), (False, torch.float32)}  # training, and validation
    totals = [
        float(message.split("total ")[1].split(",")[0])
        for message in training.context.messages
        if message.startswith("generator epoch")
    ]
    assert len(totals) == 6
    assert np.isfinite(totals).all()
    assert totals[-1] < 0.95 * totals[0]
    assert all(torch.isfinite(value).all() for value in training.network.state_dict().values())
    assert all(value.dtype == torch.float32 for value in training.network.parameters())


@pytest.mark.parametrize("samples", ["user", "interaction"])
def test_validation_reaches_no_input_and_no_loss(bench, samples):
    training = bench(samples=samples)
    known = DATA.train.users * 48 + DATA.train.items
    hidden = set((DATA.valid.users * 48 + DATA.valid.items).tolist()) - set(known.tolist())
    assert hidden
    for epoch in (1, 2):
        for batch in training.step.batches(epoch):
            history = np.repeat(batch.users, np.diff(batch.indptr)) * 48 + batch.history
            assert not hidden & set(history.tolist())
            assert not hidden & set((batch.users[batch.rows] * 48 + batch.targets).tolist())
            rng = np.random.default_rng(0)
            items = training.step._items(batch, rng)
            indptr, users = training.step.sampler.users_of(rng, items.distinct, 4, batch.users)
            assert not hidden & set((users * 48 + np.repeat(items.distinct, np.diff(indptr))).tolist())
    shown = training.parts.item_users
    assert not hidden & set((shown.items.astype(int) * 48 + shown.users).tolist())
