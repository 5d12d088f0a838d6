"""The losses against their formulas: loops over pairs and math.exp; then a whole step from texts upwards."""

import math

import numpy as np
import pytest
import torch
from bench_gpt2rec.losses import bpr, info_nce
from bench_gpt2rec.sampling import Sampler
from bench_gpt2rec.step import losses

from bench.testing import interactions_from


def scores(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain_bpr(positive, negative, counts, hardness):
    """Each pair alone: −ln σ of every difference that counts, weighted."""
    terms = []
    for own, others, real in zip(positive, negative, counts, strict=True):
        others = [other for other, one in zip(others, real, strict=True) if one]
        weights = [math.exp(hardness * other) for other in others]
        minus_log = [-math.log(1 / (1 + math.exp(other - own))) for other in others]
        terms.append(sum(w / sum(weights) * m for w, m in zip(weights, minus_log, strict=True)))
    return sum(terms) / len(terms)


COUNTS = [
    [True, True, True, True, True],
    [True, False, True, False, True],
    [False, False, False, False, False],
    [False, False, False, True, False],
]


@pytest.mark.parametrize("hardness", [0.0, 0.5, 1.0, 3.0])
def test_bpr_is_its_formula(hardness):
    positive, negative = scores(4, seed=1), 2 * scores(4, 5)
    found = bpr(positive, negative, torch.tensor(COUNTS), hardness)
    expected = plain_bpr(positive.tolist(), negative.tolist(), COUNTS, hardness)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_bpr_without_hardness_is_the_plain_mean():
    positive, negative = scores(3, seed=1), scores(3, 4)
    counts = torch.ones(3, 4, dtype=torch.bool)
    minus_log = [
        -math.log(1 / (1 + math.exp(float(n - p)))) for p, row in zip(positive, negative, strict=True) for n in row
    ]
    assert bpr(positive, negative, counts).item() == pytest.approx(sum(minus_log) / 12, rel=1e-5)


def test_hardness_looks_at_the_hardest():
    positive, negative = torch.zeros(1), torch.tensor([[-1.0, 2.0, 0.5]])
    counts = torch.ones(1, 3, dtype=torch.bool)
    hardest = math.log(1 + math.exp(2.0))
    assert bpr(positive, negative, counts, 50.0).item() == pytest.approx(hardest, rel=1e-5)
    counts[0, 1] = False  # unless it is no negative
    assert bpr(positive, negative, counts, 50.0).item() == pytest.approx(math.log(1 + math.exp(0.5)), rel=1e-5)


@pytest.mark.parametrize("hardness", [0.0, 1.0])
def test_weights_of_negatives_have_no_gradient_and_what_does_not_count_has_none_either(hardness):
    positive, negative = scores(4, seed=1).requires_grad_(), scores(4, 5).requires_grad_()
    bpr(positive, negative, torch.tensor(COUNTS), hardness).backward()
    for row, real in enumerate(COUNTS):
        weights = [math.exp(hardness * float(n)) * one for n, one in zip(negative.detach()[row], real, strict=True)]
        expected = [
            w / (sum(weights) or 1) / (1 + math.exp(float((positive[row] - n).detach()))) / 4
            for w, n in zip(weights, negative[row], strict=True)
        ]
        assert negative.grad[row].tolist() == pytest.approx(expected, rel=1e-4)
        assert positive.grad[row].item() == pytest.approx(-sum(expected), rel=1e-4)


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


@pytest.mark.parametrize("temperature", [0.1, 0.7])
@pytest.mark.parametrize("same", [None, [0, 1, 2, 3, 4, 5], [0, 1, 0, 2, 0, 1], [3, 3, 3, 3, 3, 3]])
def test_info_nce_is_its_formula(temperature, same):
    left, right = 3 * scores(6, 4), scores(6, 4, seed=1)
    found = info_nce(left, right, temperature, None if same is None else torch.tensor(same))
    assert found.item() == pytest.approx(plain_info_nce(left.tolist(), right.tolist(), temperature, same), abs=1e-5)
    if same is not None and len(set(same)) == 1:
        assert found.item() == pytest.approx(0, abs=1e-6)  # there is nobody to be told apart from


def test_info_nce_in_closed_forms():
    ones = torch.eye(5)
    assert info_nce(ones, ones, 0.5).item() == pytest.approx(math.log(math.exp(2) + 4) - 2, rel=1e-5)
    assert info_nce(ones[:1].expand(5, 5), ones[:1].expand(5, 5), 0.5).item() == pytest.approx(math.log(5), rel=1e-5)


# A whole step.


class Slowly:
    """The losses of a batch, each pair alone, from the tokens of its texts upwards."""

    def __init__(self, tiny, settings, net, batch):
        self.tiny, self.settings, self.net, self.batch = tiny, settings, net, batch
        self.of = None if net.reader is None else net.reader.documents

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
        return plain_bpr(positive, negative, self.batch.counts, self.settings.hardness)

    def contrast(self):
        first = {}
        for row, user in enumerate(self.batch.users.tolist()):
            first.setdefault(user, self.read(row))
        items = {
            item: self.read_item(item) for item in {*self.batch.positives.tolist(), *self.batch.negatives.tolist()}
        }
        single = self.of.profiles is not None or self.of.history == 1
        found = [self.side(self.net.users, first, single), self.side(self.net.items, items, True)]
        return sum(found) / 2

    def side(self, side, read, single):
        read = {number: documents for number, documents in read.items() if documents}
        if len(read) < 2:
            return 0.0
        left = [side.from_ids(side.ids.weight[number]).tolist() for number in read]
        right = [side.from_text(self.tiny.plain_mean(self.net, side, one)).tolist() for one in read.values()]
        same = [one[0] for one in read.values()] if single else None
        return plain_info_nce(left, right, self.settings.temperature, same)

    def squares(self):
        users = [float(self.user(row).square().sum()) for row in range(len(self.batch.users))]
        items = [
            np.mean([float(self.item(item).square().sum()) for item in some])
            for some in (self.batch.positives, self.batch.negatives)
        ]
        return np.mean(users) + sum(items)


def step_of(tiny, texts, **changes):
    settings = tiny.config(hidden=(5,), **changes)
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
    assert not batch.counts.all()
    return settings, net, batch


@pytest.mark.parametrize("texts", ["history", "profile", "ids"])
@pytest.mark.parametrize(("fusion", "head", "history"), [
    ("attention", "product", 2), ("attention", "both", 1), ("pooled", "mlp", 3), ("concat", "product", 2),
])  # fmt: skip
@pytest.mark.parametrize("mode", ["dynamic", "cached"])
def test_a_step_is_its_formula(tiny, texts, fusion, head, history, mode):
    settings, net, batch = step_of(
        tiny, texts, fusion=fusion, head=head, history=history, hardness=0.7, contrast_weight=0.3, temperature=0.4,
        regularisation=0.05,
    )  # fmt: skip
    if net.reader is not None:
        net.reader.switch(mode)
    with torch.no_grad():
        found = {name: value.item() for name, value in losses(settings, net, batch).items()}
        slowly = Slowly(tiny, settings, net, batch)
        expected = {"bpr": slowly.bpr()} | ({} if texts == "ids" else {"contrast": slowly.contrast()})
        total = expected["bpr"] + 0.3 * expected.get("contrast", 0.0) + 0.05 * slowly.squares()
    assert found == pytest.approx({"total": total, **expected}, rel=1e-4)


def test_a_weight_of_zero_leaves_its_loss_out(tiny):
    settings, net, batch = step_of(tiny, "history", contrast_weight=0.0, regularisation=0.0)
    found = losses(settings, net, batch)
    assert set(found) == {"total", "bpr"}
    assert found["total"] is found["bpr"]
    assert not hasattr(net.users, "from_ids")


def test_contrast_compares_no_more_than_it_is_told_to(tiny):
    settings, net, batch = step_of(tiny, "profile", contrast_batch=3)
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
        users=batch.users[:1], positives=batch.positives[:1], counts=batch.counts[:1], known=batch.known[:1]
    )
    with torch.no_grad():
        found = losses(settings, net, alone)
        slowly = Slowly(tiny, settings, net, alone)
        assert found["contrast"].item() == pytest.approx(slowly.contrast(), rel=1e-4)
    losses(settings, net, alone)["total"].backward()


def test_users_without_texts_take_no_part_in_contrast(tiny):
    """The user without a profile and the item without a text: moved far away, the loss stays as it is."""
    settings, net, batch = step_of(tiny, "profile", contrast_batch=99)
    assert 3 in batch.users
    assert 2 in {*batch.positives.tolist(), *batch.negatives.tolist()}
    with torch.no_grad():
        before = losses(settings, net, batch)["contrast"].item()
        net.users.ids.weight[3] += 5
        net.items.ids.weight[2] += 5
        assert losses(settings, net, batch)["contrast"].item() == pytest.approx(before, rel=1e-5)
        net.users.ids.weight[0] += torch.arange(16.0)
        assert losses(settings, net, batch)["contrast"].item() != pytest.approx(before, rel=1e-3)
