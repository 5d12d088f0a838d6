"""The training loop: interruptions, batches in parts, memory that runs out, bfloat16, the best weights."""

import numpy as np
import pytest
import torch
from bench_colarec import network, start, tokens
from bench_colarec.config import PRESETS
from bench_colarec.model import ColaRec
from bench_colarec.prepare import check, prepare
from bench_colarec.recommender import Recommender
from bench_colarec.step import Step
from bench_colarec.training import Trainer, bfloat16
from bench_colarec.vectors import Vectors
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from bench.contract import Validation
from bench.testing import FakeContext, Interrupted, block_interactions, ndcg

DATA = block_interactions()


class Bench:
    """Everything that a training needs, without a model around it; validation scores are given or measured."""

    def __init__(self, tiny, folder, *, scores=None, seed=1, interrupt_after=0, earlier=None, **changes):
        quick = {"content": False, "gid_width": 4, "epochs": 4, "layers": 1, "batch": 32}
        self.config = tiny.config(**{**quick, **changes})
        self.context = FakeContext(self, DATA, folder, seed, interrupt_after=interrupt_after, earlier=earlier)
        if scores is not None:
            self.context.validate = self._planned(list(scores))
        table = tokens.no_text(DATA.train.n_items)
        check(self.config, self.context, DATA.train.n_items)
        self.parts, sampler = prepare(self.config, DATA.train, self.context, None, table)
        torch.manual_seed(seed)
        self.network = network.make(self.config, self.parts, None)
        step = Step(self.config, self.network, self.parts.slots, self.parts.tree, sampler)
        self.trainer = Trainer(self.config, self.network, step, self.context)
        self.snapshots = []
        self.recommender = None

    def _planned(self, scores):
        """The harness's answers when the scores are these and patience is 2."""

        def validate():
            at = len(self.snapshots) - 1
            best = max(scores[:at], default=-1.0)
            stale = at - int(np.argmax(scores[: at + 1]))
            return Validation(scores[at], scores[at] > best, stale >= 2)

        return validate

    def ready(self):
        self.snapshots.append({name: value.clone() for name, value in self.network.state_dict().items()})
        self.recommender = Recommender(self.config, self.network, self.parts)

    def recommend(self, users, history, exclude, k):
        return self.recommender.recommend(history, exclude, k)

    def train(self):
        self.trainer.train(self.ready)
        return self.network.state_dict()


def assert_equal_weights(found, expected):
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name


@pytest.fixture
def bench(tiny, tmp_path):
    count = iter(range(100))

    def make(folder=None, **changes):
        folder = folder or tmp_path / str(next(count))
        folder.mkdir(exist_ok=True)
        return Bench(tiny, folder, **changes)

    return make


@pytest.mark.parametrize("settings", [
    {},
    {"samples": "interaction", "negatives": "uniform", "match_loss": "bpr", "codebook": "position", "tied": False,
     "schedule": "constant", "positions": True, "accumulate": 2, "batch": 128},
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
    second = bench(tmp_path / "work", earlier=first.context, **settings)
    found = second.train()
    assert len(second.snapshots) == 2
    assert_equal_weights(second.snapshots[-1], straight.snapshots[-1])
    assert_equal_weights(found, expected)
    assert second.context.scores == straight.context.scores
    assert any("epoch 2" in message for message in second.context.messages)


def test_dropout_differs_between_epochs_and_seeds(bench, monkeypatch):
    plain, dropped = bench(epochs=1), bench(epochs=1, dropout=0.3)
    dropped.network.load_state_dict(plain.network.state_dict())
    plain.train()
    dropped.train()
    assert not torch.equal(plain.snapshots[0]["begin"], dropped.snapshots[0]["begin"])
    used, manual_seed = [], torch.manual_seed
    first, second = bench(dropout=0.3, epochs=3, batch=64), bench(dropout=0.3, epochs=3, batch=64, seed=2)
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


def test_a_half_written_checkpoint_is_never_read(bench, tmp_path, monkeypatch):
    expected = bench().train()
    first = bench(tmp_path / "work", interrupt_after=2)
    with pytest.raises(Interrupted):
        first.train()

    def crash(state, path):
        path.write_bytes(b"half of it")
        raise Interrupted

    second = bench(tmp_path / "work", earlier=first.context)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", crash)
        with pytest.raises(Interrupted):
            second.train()
    third = bench(tmp_path / "work", earlier=first.context)
    assert_equal_weights(third.train(), expected)


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
    return {**zero, "batch": 24, "epochs": 1, "clip": 1e9, **changes}


def test_a_batch_in_parts_is_the_batch(bench):
    # L_rec is a mean over targets, so that parts weigh as much as they have targets.
    gradients = []
    for accumulate in (1, 4, 24):
        training = bench(**rec_only(accumulate=accumulate))
        batch = next(iter(training.trainer.step.batches(1)))
        assert len({int((batch.rows == row).sum()) for row in range(24)}) > 1
        seen = {}
        names = dict(training.network.named_parameters())

        def keep(*_, names=names, seen=seen):
            seen.update({name: p.grad.clone() for name, p in names.items() if p.grad is not None})
            return torch.zeros(())

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.nn.utils, "clip_grad_norm_", keep)
            losses = training.trainer._try_update(1, 0, batch)
        gradients.append((losses["rec"].item(), seen))
    (loss, whole), *others = gradients
    for other, parts in others:
        assert other == pytest.approx(loss, rel=1e-5)
        assert parts.keys() == whole.keys()
        for name, value in parts.items():
            torch.testing.assert_close(value, whole[name], atol=1e-6, rtol=1e-4)


def test_one_update_is_adamw_with_a_clipped_gradient(bench):
    training = bench(
        **rec_only(clip=0.01, learning_rate=1e-2, weight_decay=0.1, schedule="constant", embedding_rate=0.5)
    )
    trainer, net = training.trainer, training.network
    batch = next(iter(trainer.step.batches(1)))
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    net.train()
    loss = trainer.step.loss(batch, np.random.default_rng(0))["rec"] * training.config.rec_weight
    gradients = dict(zip(before, torch.autograd.grad(loss, list(net.parameters()), allow_unused=True), strict=True))
    norm = sum(g.square().sum() for g in gradients.values() if g is not None).sqrt()
    trainer._try_update(1, 0, batch)
    embeddings = {name for name in before if name.startswith(("table", "codebooks"))}
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
    n = trainer.step.n_batches() * 40
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
        step = training.trainer.step
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


def test_a_batch_that_does_not_fit_is_halved_until_it_does(bench, out_of_memory):
    training = bench(**rec_only(epochs=2, batch=16))
    expected = bench(**rec_only(epochs=2, batch=16)).train()
    tried = out_of_memory(training, 4)
    found = training.train()
    assert max(tried[2:]) <= 8  # a whole batch and its half were tried once each
    assert max(tried[4:]) <= 4
    assert training.trainer.parts == 4
    assert training.context.notes["batch_parts"] == 4
    assert [m for m in training.context.messages if "memory" in m] == [
        f"out of memory: batches are computed in {n} parts from now on" for n in (2, 4)
    ]
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], atol=2e-4, rtol=1e-3)


def test_a_sample_that_does_not_fit_is_an_error(bench, out_of_memory):
    training = bench(**rec_only(batch=16))
    tried = out_of_memory(training, 0)
    with pytest.raises(torch.OutOfMemoryError):
        training.train()
    assert min(tried) == 1


def test_parts_outlive_an_interruption(bench, out_of_memory, tmp_path):
    first = bench(tmp_path / "work", interrupt_after=1, batch=16)
    out_of_memory(first, 4)
    with pytest.raises(Interrupted):
        first.train()
    second = bench(tmp_path / "work", earlier=first.context, batch=16)
    tried = out_of_memory(second, 4)
    second.train()
    assert max(tried) <= 4


def test_bfloat16_trains(bench):
    training = bench(precision="bfloat16", epochs=6, learning_rate=5e-3, start="random")
    assert bfloat16(training.config, "cpu")
    assert not bfloat16(bench().config, "cpu")
    kinds = []
    wi = training.network.encoder.block[0].layer[1].DenseReluDense.wi
    wi.register_forward_hook(lambda module, _, out: kinds.append((module.training, out.dtype)))
    training.train()
    assert set(kinds) == {(True, torch.bfloat16), (False, torch.float32)}  # training, and validation
    totals = [
        sum(float(part.split()[1]) for part in message.split(": ")[1].split(", "))
        for message in training.context.messages
        if message.startswith("epoch")
    ]
    assert len(totals) == 6
    assert np.isfinite(totals).all()
    assert totals[-1] < 0.95 * totals[0]
    assert all(torch.isfinite(value).all() for value in training.network.state_dict().values())
    assert all(value.dtype == torch.float32 for value in training.network.parameters())


def planted(rng):
    """Vectors of the blocks: one direction for each, and some noise."""

    def near(n):
        return (2 * np.eye(4)[np.arange(n) % 4] @ np.eye(4, 8) + 0.2 * rng.standard_normal((n, 8))).astype(np.float32)

    return Vectors(near(60), near(48))


def untrained(tiny, folder, vectors, loaded=None, **changes):
    """NDCG@10 of a network that was not trained, and the network."""
    settings = tiny.config(**{"width": 32, "gid_width": 4, "start": "vectors", "gid_source": "lightgcn", **changes})
    context = FakeContext(None, DATA, folder)
    if settings.content:
        texts = context.item_texts()["text"].tolist()
        table = tokens.table(tokens.train(texts, 300), texts, 8)
    else:
        table = tokens.no_text(48)
    parts, _ = prepare(settings, DATA.train, context, vectors, table)
    torch.manual_seed(1)
    net = network.make(settings, parts, loaded)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    random = ndcg(_Ranks(Recommender(settings, net, parts)), DATA)
    start.from_vectors(net, parts.slots, parts.tree, vectors, 1, loaded is None)
    return random, ndcg(_Ranks(Recommender(settings, net, parts)), DATA), net, parts, before


class _Ranks:
    def __init__(self, recommender):
        self.recommender = recommender

    def recommend(self, users, history, exclude, k):
        return self.recommender.recommend(history, exclude, k)


@pytest.mark.parametrize("score", ["match", "generate", "both"])
@pytest.mark.parametrize("content", [False, True])
def test_a_network_that_starts_from_vectors_ranks_as_they_do(tiny, tmp_path, score, content):
    random, found, *_ = untrained(
        tiny, tmp_path, planted(np.random.default_rng(0)), score=score, content=content, codebook="prefix"
    )
    # Of a block, 12 items are at most 9 left after those of the user; lists of the user's own block have about .6.
    assert random < 0.3
    assert found > 0.5


def test_attention_begins_with_the_items_not_with_their_words(tiny, tmp_path):
    *_, net, parts, _ = untrained(tiny, tmp_path, planted(np.random.default_rng(0)))
    attention = net.encoder.block[0].layer[0].SelfAttention
    seen = {}
    for name in ("q", "k"):
        getattr(attention, name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out[0]}))
    slots, places = tiny.user_slots(parts, [4, 11, 30, 2, 17])
    with torch.no_grad():
        tiny.states_of(net, slots, places)
        q, k = (seen[name].unflatten(-1, (attention.n_heads, -1)).transpose(0, 1) for name in ("q", "k"))
        weights = (q @ k.transpose(1, 2) + attention.compute_bias(len(slots), len(slots))[0]).softmax(-1)
    words = np.array(places) > 2
    assert words.mean() > 0.7
    # What the end of the input reads, over all heads.
    assert weights[:, -1, torch.from_numpy(words)].sum(-1).mean() < 0.3


def test_vectors_that_say_nothing_do_no_harm(tiny, tmp_path):
    nothing = Vectors(np.zeros((60, 8), np.float32), np.zeros((48, 8), np.float32))
    *_, net, _, _ = untrained(tiny, tmp_path, nothing)
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


def test_users_without_vectors_start_too(tiny, tmp_path):
    vectors = planted(np.random.default_rng(0))
    without = Vectors(np.zeros_like(vectors.users), vectors.items)
    _, found, net, *_ = untrained(tiny, tmp_path, without, content=False)
    assert found > 0.5
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory):
    """A tiny T5 and its tokenizer, as ``save_pretrained`` writes them; the model has more rows than the tokenizer."""
    folder = tmp_path_factory.mktemp("backbones") / "tiny-t5"
    texts = [f"title thing {item} of kind {item % 4}" for item in range(48)]
    trained = tokens.train(texts, 300)
    torch.manual_seed(5)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(trained) + 6,
            d_model=24,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_decoder_layers=1,
            num_heads=2,
            feed_forward_proj="gated-gelu",
            decoder_start_token_id=0,
        )
    )
    with torch.no_grad():
        model.shared.weight.mul_(3)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=trained.tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("begin", ["random", "vectors"])
def test_a_pretrained_network_keeps_its_layers_and_tokens(tiny, tmp_path, t5_folder, begin):
    settings = tiny.config(backbone=str(t5_folder), dropout=0.25)
    loaded = network.load(settings)
    reference = T5ForConditionalGeneration.from_pretrained(t5_folder)
    # With an embedding for the tasks, places and codes still random, the stacks are those of the folder.
    if begin == "vectors":
        vectors = planted(np.random.default_rng(0))
        *_, net, parts, before = untrained(tiny, tmp_path, vectors, loaded, content=True)
        slots = parts.slots
        rows = net.table.weight[slots.n_tokens : slots.n_tokens + 48]
        size = reference.shared.weight[: slots.n_tokens].norm(dim=1).mean()
        torch.testing.assert_close(rows.norm(dim=1), size.expand(48))
        cosine = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2).detach().numpy()
        expected = vectors.items / np.linalg.norm(vectors.items, axis=1, keepdims=True)
        np.testing.assert_allclose(cosine, expected @ expected.T, atol=1e-4)
        assert torch.equal(net.table.weight[-2:], before["table.weight"][-2:])
    else:
        net = network.make(settings, tiny.parts(tiny.UNEVEN[3]), loaded)
        n = 30  # tokens of this table
        std = reference.shared.weight.std().item()
        assert net.table.weight[n:].std().item() == pytest.approx(std, rel=0.15)
    n = net.table.num_embeddings - 2 - (48 + 60 if begin == "vectors" else 14 + 9)
    assert torch.equal(net.table.weight[:n], reference.shared.weight[:n])
    for ours, theirs in ((net.encoder, reference.encoder), (net.decoder.stack, reference.decoder)):
        expected = {name: value for name, value in theirs.state_dict().items() if "embed_tokens" not in name}
        found = {name: value for name, value in ours.state_dict().items() if "embed_tokens" not in name}
        assert_equal_weights(found, expected)
        assert ours.dropout.p == 0.25
        assert ours.block[0].layer[0].SelfAttention.dropout == 0.25
        assert sum(p.numel() for n, p in ours.named_parameters() if "embed_tokens" in n) < 100  # they are in the table


def test_a_model_with_a_pretrained_backbone_outlives_the_folder(tmp_path, t5_folder):
    folder = tmp_path / "my-t5"
    folder.symlink_to(t5_folder)
    options = {**PRESETS["quick"], "backbone": str(folder), "epochs": 1, "batch": 32}
    model = ColaRec(ColaRec.Config(**options))
    (tmp_path / "work").mkdir()
    context = FakeContext(model, DATA, tmp_path / "work")
    model.fit(DATA.train, DATA.valid, context)
    assert context.notes["backbone"] == "my-t5"
    found = model.recommend(np.arange(60), DATA.train, DATA.train, 10)
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    folder.unlink()
    loaded = ColaRec(ColaRec.Config(**options))
    loaded.load(tmp_path / "saved", "cpu")
    again = loaded.recommend(np.arange(60), DATA.train, DATA.train, 10)
    np.testing.assert_array_equal(again.items, found.items)
    np.testing.assert_array_equal(again.scores, found.scores)


def test_a_local_tokenizer_reads_for_a_network_from_scratch(tmp_path, t5_folder):
    model = ColaRec(ColaRec.Config(tokenizer=str(t5_folder), epochs=1, width=16))
    model.fit(DATA.train, DATA.valid, FakeContext(model, DATA, tmp_path))
    own = tokens.pretrained(str(t5_folder))
    assert model._recommender.parts.tokens.size == len(own)
    assert model._recommender.parts.tokens.ids[:3].tolist() == own.encode(["title thing 0 of kind 0"])[0][:3]


@pytest.mark.parametrize("samples", ["user", "interaction"])
def test_validation_reaches_no_input_and_no_loss(bench, samples):
    training = bench(samples=samples)
    known = DATA.train.users * 48 + DATA.train.items
    hidden = set((DATA.valid.users * 48 + DATA.valid.items).tolist()) - set(known.tolist())
    assert hidden
    for epoch in (1, 2):
        for batch in training.trainer.step.batches(epoch):
            history = np.repeat(batch.users, np.diff(batch.indptr)) * 48 + batch.history
            assert not hidden & set(history.tolist())
            assert not hidden & set((batch.users[batch.rows] * 48 + batch.targets).tolist())
            rng = np.random.default_rng(0)
            items = training.trainer.step._items(batch, rng)
            indptr, users = training.trainer.step.sampler.users_of(rng, items.distinct, 4, batch.users)
            assert not hidden & set((users * 48 + np.repeat(items.distinct, np.diff(indptr))).tolist())
    shown = training.parts.item_users
    assert not hidden & set((shown.items.astype(int) * 48 + shown.users).tolist())
