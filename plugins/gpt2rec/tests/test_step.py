"""A step against its formula, pair by pair: loops and math.exp, from the tokens of texts upwards."""

import math

import numpy as np
import pytest
import torch
from bench_gpt2rec.sampling import Sampler
from bench_gpt2rec.step import losses

from bench.testing import interactions_from


def plain_bpr(positive, negative, allowed, alpha):
    """Each pair alone: −ln σ of every difference that allowed, weighted."""
    terms = []
    for own, others, real in zip(positive, negative, allowed, strict=True):
        others = [other for other, one in zip(others, real, strict=True) if one]
        weights = [math.exp(alpha * other) for other in others]
        minus_log = [-math.log(1 / (1 + math.exp(other - own))) for other in others]
        terms.append(sum(w / sum(weights) * m for w, m in zip(weights, minus_log, strict=True)))
    return sum(terms) / len(terms)


def plain_info_nce(left, right, temperature, same=None):
    """Both directions, each entity alone; twins are left out of the sum below the line."""

    def cosine(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))

    n, found = len(left), 0.0
    for one, other in ((left, right), (right, left)):
        for i in range(n):
            rivals = [j for j in range(n) if j == i or same is None or same[j] != same[i]]
            powers = {j: math.exp(cosine(one[i], other[j]) / temperature) for j in rivals}
            found += -math.log(powers[i] / sum(powers.values())) / n
    return found / 2


class Slowly:
    """The losses of a batch, each pair alone, from the tokens of its texts upwards."""

    def __init__(self, tiny, settings, net, batch):
        self.tiny, self.settings, self.net, self.batch = tiny, settings, net, batch
        self.of = None if net.encoder is None else net.encoder.documents

    def read(self, row):
        """Documents of the user of a pair: the history without the positive is latest first already."""
        if self.of is None:
            return []
        known = [item for item in self.batch.known[row].tolist() if item >= 0]
        return self.tiny.read_by(self.of, int(self.batch.users[row]), known[::-1])

    def read_item(self, item):
        return [] if self.of is None or self.of.items[item] < 0 else [int(self.of.items[item])]

    def user(self, row):
        return self.tiny.plain_vector(self.net, self.net.users, int(self.batch.users[row]), self.read(row))

    def item(self, item):
        return self.tiny.plain_vector(self.net, self.net.items, int(item), self.read_item(item))

    def bpr(self):
        positive, negative = [], []
        for row, own in enumerate(self.batch.positives):
            user = self.user(row)
            score = [
                self.tiny.plain_score(self.net.scorer, user, self.item(item), int(item))
                for item in (own, *self.batch.negatives)
            ]
            positive.append(score[0])
            negative.append(score[1:])
        return plain_bpr(positive, negative, self.batch.allowed, self.settings.adversarial_temperature)

    def contrastive(self):
        first = {}
        for row, user in enumerate(self.batch.users.tolist()):
            first.setdefault(user, self.read(row))
        items = {
            item: self.read_item(item) for item in {*self.batch.positives.tolist(), *self.batch.negatives.tolist()}
        }
        single = self.of.profiles is not None or self.of.history == 1
        found = [self.tower(self.net.users, first, single), self.tower(self.net.items, items, True)]
        return sum(found) / 2

    def tower(self, tower, read, single):
        read = {number: documents for number, documents in read.items() if documents}
        if len(read) < 2:
            return 0.0
        left = [tower.from_ids(tower.ids.weight[number]).tolist() for number in read]
        right = [tower.from_text(self.tiny.plain_mean(self.net, tower, one)).tolist() for one in read.values()]
        same = [one[0] for one in read.values()] if single else None
        return plain_info_nce(left, right, self.settings.contrastive_temperature, same)

    def squares(self):
        users = [float(self.user(row).square().sum()) for row in range(len(self.batch.users))]
        items = [
            np.mean([float(self.item(item).square().sum()) for item in some])
            for some in (self.batch.positives, self.batch.negatives)
        ]
        return np.mean(users) + sum(items)


def step_of(tiny, texts, **changes):
    settings = tiny.config(hidden_sizes=(5,), **changes)
    rng = np.random.default_rng(4)
    train = interactions_from([[3, 0, 7, 9], [], [5, 3], [10], [0, 1, 2, 8, 13, 6, 4], [11, 3, 7]], 14)
    rows = tiny.random_rows(12)
    items = [0, 1, -1, 2, 3, 1, 4, 5, 6, 7, 0, 8, 9, 0]  # twins, and one without a text
    profiles = None if texts == "history" else [10, 11, 10, -1, 10, 11]
    of = None if texts == "ids" else tiny.documents(rows, items, profiles, settings.history)
    if of is None:
        settings = settings.model_copy(update={"text": False})
        net = tiny.network(settings, None, n_users=6, n_items=14)
    else:
        net = tiny.network(settings, of, n_users=6, model=tiny.language_model("bert"))
    batch = next(Sampler(train, 17, 5, settings.history, int(rng.integers(99))).batches(1))
    assert not batch.allowed.all()
    return settings, net, batch


@pytest.mark.parametrize("texts", ["history", "profile", "ids"])
@pytest.mark.parametrize(("fusion", "head", "history"), [
    ("attention", "product", 2), ("attention", "both", 1), ("pooled", "mlp", 3), ("concat", "product", 2),
])  # fmt: skip
@pytest.mark.parametrize("mode", ["dynamic", "cached"])
def test_a_step_is_its_formula(tiny, texts, fusion, head, history, mode):
    settings, net, batch = step_of(
        tiny, texts, fusion=fusion, scorer=head, history=history, adversarial_temperature=0.7,
        contrastive_weight=0.3, contrastive_temperature=0.4,
        l2=0.05,
    )  # fmt: skip
    if net.encoder is not None:
        net.encoder.switch(mode)
    with torch.no_grad():
        found = {name: value.item() for name, value in losses(settings, net, batch).items()}
        slowly = Slowly(tiny, settings, net, batch)
        expected = {"bpr": slowly.bpr()} | ({} if texts == "ids" else {"contrastive": slowly.contrastive()})
        total = expected["bpr"] + 0.3 * expected.get("contrastive", 0.0) + 0.05 * slowly.squares()
    assert found == pytest.approx({"total": total, **expected}, rel=1e-4)


def test_a_weight_of_zero_leaves_its_loss_out(tiny):
    settings, net, batch = step_of(tiny, "history", contrastive_weight=0.0, l2=0.0)
    found = losses(settings, net, batch)
    assert set(found) == {"total", "bpr"}
    assert found["total"] is found["bpr"]
    assert not hasattr(net.users, "from_ids")


def test_contrast_compares_no_more_than_it_is_told_to(tiny):
    settings, net, batch = step_of(tiny, "profile", contrastive_batch_size=3)
    compared = []
    net.items.from_ids.register_forward_pre_hook(lambda module, args: compared.append(args[0]))
    torch.manual_seed(0)
    for _ in range(8):
        losses(settings, net, batch)
    assert {len(rows) for rows in compared} == {3}
    assert len({tuple(rows[:, 0].tolist()) for rows in compared}) > 1  # not always the same ones


def test_contrast_of_one_user_is_nothing(tiny):
    settings, net, batch = step_of(tiny, "history")
    alone = batch._replace(
        users=batch.users[:1], positives=batch.positives[:1], allowed=batch.allowed[:1], known=batch.known[:1]
    )
    with torch.no_grad():
        found = losses(settings, net, alone)
        slowly = Slowly(tiny, settings, net, alone)
        assert found["contrastive"].item() == pytest.approx(slowly.contrastive(), rel=1e-4)
    losses(settings, net, alone)["total"].backward()


def test_users_without_texts_take_no_part_in_contrast(tiny):
    """The user without a profile and the item without a text: moved far away, the loss stays as it is."""
    settings, net, batch = step_of(tiny, "profile", contrastive_batch_size=99)
    assert 3 in batch.users
    assert 2 in {*batch.positives.tolist(), *batch.negatives.tolist()}
    with torch.no_grad():
        before = losses(settings, net, batch)["contrastive"].item()
        net.users.ids.weight[3] += 5
        net.items.ids.weight[2] += 5
        assert losses(settings, net, batch)["contrastive"].item() == pytest.approx(before, rel=1e-5)
        net.users.ids.weight[0] += torch.arange(16.0)
        assert losses(settings, net, batch)["contrastive"].item() != pytest.approx(before, rel=1e-3)
