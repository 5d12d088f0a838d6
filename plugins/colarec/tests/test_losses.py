"""The losses against their formulas, sample by sample: no batch, no padding, loops and math.log."""

import itertools
import math

import numpy as np
import pytest
import torch
from bench_colarec.training import losses
from bench_colarec.training.sampling import Sampler
from bench_colarec.training.step import Step

from bench.testing import interactions_from

WAYS = list(itertools.product(["position", "prefix"], [True, False]))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def dot(a, b):
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))


def test_generation_loss_is_the_mean_of_sums():
    log_probs = [[math.log(0.5), math.log(0.25)], [math.log(0.1), math.log(1.0)], [math.log(0.2), math.log(0.3)]]
    expected = -(math.log(0.5 * 0.25) + math.log(0.1) + math.log(0.2 * 0.3)) / 3
    assert losses.generation_loss(torch.tensor(log_probs)).item() == pytest.approx(expected, rel=1e-6)


def test_bpr_loss_is_its_formula():
    anchor, near, far = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    terms = [-math.log(sigmoid(dot(a, p) - dot(a, n))) for a, p, n in zip(anchor, near, far, strict=True)]
    assert losses.bpr_loss(anchor, near, far).item() == pytest.approx(sum(terms) / 5, rel=1e-5)


class Slowly:
    """The losses of a batch, each sample alone, from the words of its input upwards."""

    def __init__(self, tiny, step, of, batch, seed):
        self.tiny, self.settings, self.net, self.of = tiny, step.config, step.network, of
        # What is drawn at random is drawn the same again; that it is drawn well, test_sampling checks.
        rng = np.random.default_rng(seed)
        items = step._items(batch, rng)
        indptr, users = step.sampler.users_of(rng, items.distinct, step.lengths.users, batch.users)
        distinct = items.distinct.tolist()
        self.negative = [distinct[at] for at in items.negative]
        self.sibling = [distinct[at] if has else None for at, has in zip(items.sibling, items.has_sibling, strict=True)]
        self.shown = {item: users[indptr[at] : indptr[at + 1]].tolist() for at, item in enumerate(distinct)}
        if self.settings.index_inputs == "release":
            self.shown = {item: users if item in self.sibling else [] for item, users in self.shown.items()}
        self.samples = [
            (int(batch.users[row]), batch.history[batch.indptr[row] : batch.indptr[row + 1]].tolist(), int(target))
            for row, target in zip(batch.rows, batch.targets, strict=True)
        ]

    def user_states(self, history):
        words = self.tiny.user_ids(self.of, history, self.settings.input_lengths.tokens)
        return self.tiny.states_of(self.net, *words)

    def item_states(self, item):
        words = self.tiny.item_input_ids(self.of, item, self.shown[item], self.settings.input_lengths.tokens)
        return self.tiny.states_of(self.net, *words)

    def minus_log_prob(self, states, item):
        gid = self.of.tree.codes[item].tolist()
        return -sum(self.tiny.plain_log_probs(self.net, self.of, self.settings, states, gid))

    def rec(self):
        return np.mean([self.minus_log_prob(self.user_states(history), item) for _, history, item in self.samples])

    def index(self):
        written = {item for _, _, item in self.samples} | set(self.negative)
        return np.mean([self.minus_log_prob(self.item_states(item), item) for item in written])

    def bpr(self):
        terms = []
        for (_, history, item), negative in zip(self.samples, self.negative, strict=True):
            user, positive, other = (
                states[0, -1]
                for states in (self.user_states(history), self.item_states(item), self.item_states(negative))
            )
            terms.append(-math.log(sigmoid(dot(user, positive) - dot(user, other))))
        return np.mean(terms)

    def contrastive(self):
        terms = []
        for (_, _, item), near, far in zip(self.samples, self.sibling, self.negative, strict=True):
            if near is not None:
                h, h_near, h_far = (self.item_states(i)[0, -1] for i in (item, near, far))
                terms.append(-math.log(sigmoid(dot(h, h_near) - dot(h, h_far))))
        return np.mean(terms)

    def in_batch(self, known, softmax, counts):
        terms = []
        batch = sorted({item for _, _, item in self.samples})
        h = {item: self.item_states(item)[0, -1] for item in batch}
        for user, history, item in self.samples:
            state = self.user_states(history)[0, -1]
            others = [other for other in batch if other not in known[user]]
            if softmax:
                weight = {i: math.exp(dot(state, h[i]) - math.log(counts[i])) for i in [item, *others]}
                terms.append(-math.log(weight[item] / sum(weight.values())))
            else:
                own = [-math.log(sigmoid(dot(state, h[item]) - dot(state, h[other]))) for other in others]
                terms.append(sum(own) / len(own) if own else 0.0)
        return np.mean(terms)


TRAIN = [[3, 0, 7, 9, 1, 12], [], [5, 3], [10], [0, 1, 2, 8, 13, 6, 4], [11, 3, 7], [2, 9, 0], [6, 5, 12]]


def step_of(tiny, **changes):
    of = tiny.parts(tiny.UNEVEN[3], n_users=len(TRAIN))
    settings = tiny.config(**changes)
    net = tiny.network(settings, of)
    train = interactions_from(TRAIN, len(of.tree.codes))
    return Step(settings, net, of, Sampler(train, of.tree, 1)), of


@pytest.mark.parametrize(("codebook", "tied"), WAYS)
@pytest.mark.parametrize("samples", ["user", "interaction"])
def test_a_step_is_the_formula_of_the_paper(tiny, codebook, tied, samples):
    step, of = step_of(
        tiny,
        codebook=codebook,
        tied=tied,
        samples=samples,
        negative_sampling="uniform",
        loss="bpr",
        rec_weight=0.08,
        index_weight=0.08,
        bpr_weight=1.0,
        contrastive_weight=0.1,
        batch_size=7,
    )
    batch = next(iter(step.batches(1)))
    with torch.no_grad():
        found = step.loss(batch, np.random.default_rng(5))
        slowly = Slowly(tiny, step, of, batch, 5)
        assert None in slowly.sibling  # an item alone in its prefix, which L_c leaves out
        assert any(slowly.sibling)
        expected = {name: getattr(slowly, name)() for name in ("rec", "index", "bpr", "contrastive")}
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected, rel=1e-4)
    total = 0.08 * (expected["rec"] + expected["index"]) + expected["bpr"] + 0.1 * expected["contrastive"]
    assert step.total(found).item() == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("loss", ["bpr", "sampled_softmax"])
@pytest.mark.parametrize("positions", [False, True])
def test_a_step_with_negatives_of_the_batch(tiny, loss, positions):
    step, of = step_of(tiny, loss=loss, negative_sampling="batch", batch_size=5, positions=positions, targets=3)
    counts = [sum(item in row for row in TRAIN) for item in range(14)]
    for batch in step.batches(2):
        with torch.no_grad():
            found = step.loss(batch, np.random.default_rng(5))
            slowly = Slowly(tiny, step, of, batch, 5)
            expected = slowly.in_batch(TRAIN, loss == "sampled_softmax", counts)
            assert found["rec"].item() == pytest.approx(slowly.rec(), rel=1e-4)
            assert found["index"].item() == pytest.approx(slowly.index(), rel=1e-4)
        assert found["bpr"].item() == pytest.approx(expected, rel=1e-4)


def test_a_step_with_the_inputs_of_the_release(tiny):
    # Only the contrastive item is shown with users. An item may be that for one sample and the positive of another.
    step, of = step_of(tiny, index_inputs="release", negative_sampling="uniform", item_users=2, batch_size=4)
    shown_users = 0
    for batch in step.batches(1):
        with torch.no_grad():
            found = step.loss(batch, np.random.default_rng(6))
            slowly = Slowly(tiny, step, of, batch, 6)
            expected = {name: getattr(slowly, name)() for name in ("rec", "index", "bpr")}
        shown_users += sum(map(len, slowly.shown.values()))
        for name, value in expected.items():
            assert found[name].item() == pytest.approx(value, rel=1e-4), name
    assert shown_users


@pytest.mark.parametrize("name", ["rec", "index", "bpr", "contrastive"])
def test_a_weight_of_zero_leaves_its_loss_out(tiny, name):
    step, _ = step_of(tiny, **{f"{name}_weight": 0.0})
    batch = next(iter(step.batches(1)))
    found = step.loss(batch, np.random.default_rng(5))
    assert set(found) == {"rec", "index", "bpr", "contrastive"} - {name}
    alone, _ = step_of(tiny, **{f"{other}_weight": 0.0 for other in {"rec", "index", "bpr", "contrastive"} - {name}})
    only = alone.loss(batch, np.random.default_rng(5))
    assert set(only) == {name}
    weight = getattr(alone.config, f"{name}_weight")
    assert alone.total(only).item() == pytest.approx(weight * only[name].item())


def test_items_alone_in_their_prefix_have_no_contrastive_loss(tiny):
    of = tiny.parts([[item, item % 3] for item in range(8)])
    settings = tiny.config()
    train = interactions_from([[0, 1, 2], [3, 4, 5], [6, 7]], 8)
    step = Step(settings, tiny.network(settings, of), of, Sampler(train, of.tree, 1))
    found = step.loss(next(iter(step.batches(1))), np.random.default_rng(0))
    assert set(found) == {"rec", "index", "bpr"}
    step.total(found).backward()


def test_a_batch_of_items_alone_in_their_prefix_teaches_nothing_if_there_is_no_other_loss(tiny):
    of = tiny.parts([[item, item % 3] for item in range(8)])
    settings = tiny.config(rec_weight=0.0, index_weight=0.0, bpr_weight=0.0)
    train = interactions_from([[0, 1, 2], [3, 4, 5], [6, 7]], 8)
    step = Step(settings, tiny.network(settings, of), of, Sampler(train, of.tree, 1))
    total = step.total(step.loss(next(iter(step.batches(1))), np.random.default_rng(0)))
    total.backward()
    assert total == 0
    assert all(p.grad is None or not p.grad.any() for p in step.network.parameters())


def test_all_weights_learn(tiny):
    step, _ = step_of(tiny, positions=True, codebook="position", tied=False)
    batch = next(iter(step.batches(1)))
    step.total(step.loss(batch, np.random.default_rng(5))).backward()
    idle = [
        name
        for name, weight in step.network.named_parameters()
        if weight.grad is None or not weight.grad.abs().sum() > 0
    ]
    # T5Stack has a table of its own, which nothing asks. The embedding of a last code is never read, only scored.
    assert idle == ["encoder.embed_tokens.weight", "decoder.stack.embed_tokens.weight", "codebooks.inputs.2.weight"]


@pytest.mark.parametrize("samples", ["user", "interaction"])
def test_the_target_of_a_sample_reaches_no_input_of_its_user(tiny, samples):
    """Another catalogue entry in place of the target leaves the user input as it is, id by id."""
    step, of = step_of(tiny, samples=samples)
    sampler, lengths = step.sampler, step.lengths
    for batch in step.batches(3):
        inputs = of.inputs.users(batch.indptr, batch.history, lengths.tokens)
        for row, user in enumerate(batch.users):
            targets = batch.targets[batch.rows == row]
            words = set(inputs.ids[row].tolist())
            assert not words & set(of.inputs.item_ids(targets).tolist())
            assert {one - of.tokens.size for one in words & set(range(of.tokens.size, of.tokens.size + 14))} <= set(
                TRAIN[user]
            ) - set(targets.tolist())
        # And no item is shown with a user of the batch, whose target it may be.
        rng = np.random.default_rng(1)
        items = step._items(batch, rng)
        shown = step._item_inputs(items, batch, rng).ids
        first = of.tokens.size + 14
        assert not {one - first for one in shown.ravel() if first <= one < first + len(TRAIN)} & set(
            batch.users.tolist()
        )
    # End to end: the embedding of the target's id moves, the encoded user does not.
    batch = next(iter(step.batches(1)))
    only = batch.split(len(batch.users))[0]
    with torch.no_grad():
        inputs = of.inputs.users(only.indptr, only.history, lengths.tokens)
        before = step.network.encode(inputs).pooled.clone()
        step.network.table.weight[of.inputs.item_ids(only.targets)] += 10
        assert torch.equal(step.network.encode(inputs).pooled, before)
    assert sampler.train.contains(only.users[only.rows], only.targets).all()
