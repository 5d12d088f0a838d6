"""The losses against their formulas: loops over pairs and math.exp."""

import math

import pytest
import torch
from bench_torchkit import losses
from bench_torchkit.losses import bce, bpr, gbce, info_nce, sampled_softmax, softmax


def scores(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


ALLOWED = [
    [True, True, True, True, True],
    [True, False, True, False, True],
    [False, False, False, False, False],
    [False, False, False, True, False],
]
MASKS = [None, ALLOWED]


def cases(mask):
    """Positive, negatives as tensors, and as lists of what counts."""
    positive, negative = scores(4, seed=1), 2 * scores(4, 5)
    allowed = None if mask is None else torch.tensor(mask)
    counted = [
        [n for n, one in zip(row, kept, strict=True) if one]
        for row, kept in zip(negative.tolist(), mask or [[True] * 5] * 4, strict=True)
    ]
    return positive, negative, allowed, list(zip(positive.tolist(), counted, strict=True))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("hardness", [0.0, 0.5, 3.0])
def test_bpr_is_its_formula(hardness, mask):
    positive, negative, allowed, pairs = cases(mask)
    terms = []
    for own, others in pairs:
        weights = [math.exp(hardness * other) for other in others]
        terms.append(sum(-w / sum(weights) * math.log(sigmoid(own - n)) for w, n in zip(weights, others, strict=True)))
    assert bpr(positive, negative, allowed, hardness).item() == pytest.approx(sum(terms) / 4, rel=1e-5)


def test_bpr_of_pairs():
    positive, negative = scores(5, seed=1), scores(5)
    terms = [-math.log(sigmoid(p - n)) for p, n in zip(positive.tolist(), negative.tolist(), strict=True)]
    assert bpr(positive, negative).item() == pytest.approx(sum(terms) / 5, rel=1e-5)


def test_weights_of_bpr_have_no_gradient():
    positive, negative = torch.zeros(1), torch.tensor([[-1.0, 2.0]], requires_grad=True)
    bpr(positive, negative, hardness=1.0).backward()
    weights = [math.exp(-1), math.exp(2)]
    expected = [w / sum(weights) * sigmoid(n) for w, n in zip(weights, (-1.0, 2.0), strict=True)]
    assert negative.grad.tolist()[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("corrected", [False, True])
def test_sampled_softmax_is_its_formula(mask, corrected):
    positive, negative, allowed, pairs = cases(mask)
    q, q_positive = [0.5, 0.1, 0.2, 0.05, 0.15], [0.3, 0.05, 0.5, 0.15]
    log_q = (torch.tensor(q_positive).log(), torch.tensor(q).log()) if corrected else None
    terms = []
    for row, (own, _) in enumerate(pairs):
        real = mask[row] if mask else [True] * 5
        above = math.exp(own) / (q_positive[row] if corrected else 1)
        others = [
            math.exp(n) / (chance if corrected else 1)
            for n, chance, one in zip(negative[row].tolist(), q, real, strict=True)
            if one
        ]
        terms.append(-math.log(above / (above + sum(others))))
    assert sampled_softmax(positive, negative, allowed, log_q).item() == pytest.approx(sum(terms) / 4, rel=1e-5)


def test_the_gradient_of_sampled_softmax_is_that_of_the_formula_and_is_there_once():
    generator = torch.Generator().manual_seed(0)
    values = 3 * torch.randn(7, 6, generator=generator, dtype=torch.double)
    gradients = []
    for formula in (sampled_softmax, lambda p, n: -torch.log_softmax(torch.cat([p[:, None], n], 1), 1)[:, 0].mean()):
        positive, negative = values[:, 0].clone().requires_grad_(), values[:, 1:].clone().requires_grad_()
        loss = 3 * formula(positive, negative)
        loss.backward(retain_graph=True)
        gradients.append((positive.grad, negative.grad))
        if formula is sampled_softmax:
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                loss.backward()
    torch.testing.assert_close(*gradients)


def test_sampled_softmax_over_the_whole_catalogue_is_cross_entropy():
    logits = scores(3, 6)
    targets = torch.tensor([2, 0, 5])
    others = torch.ones(3, 6, dtype=torch.bool).scatter(1, targets[:, None], False)
    found = sampled_softmax(logits.gather(1, targets[:, None])[:, 0], logits, others)
    assert found.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, targets).item(), rel=1e-6)


def test_bce_is_its_formula():
    positive, negative, _, pairs = cases(None)
    terms = [
        -(math.log(sigmoid(own)) + sum(math.log(1 - sigmoid(n)) for n in others)) / (1 + len(others))
        for own, others in pairs
    ]
    assert bce(positive, negative).item() == pytest.approx(sum(terms) / 4, rel=1e-5)


@pytest.mark.parametrize(("rate", "t"), [(0.1, 0.0), (0.1, 0.75), (0.02, 1.0), (1.0, 0.5)])
def test_gbce_is_its_formula(rate, t):
    positive, negative, _, pairs = cases(None)
    beta = rate * (t * (1 - 1 / rate) + 1 / rate)
    terms = [
        -(math.log(sigmoid(own) ** beta) + sum(math.log(1 - sigmoid(n)) for n in others)) / (1 + len(others))
        for own, others in pairs
    ]
    found = gbce(positive, negative, rate, t).item()
    assert found == pytest.approx(sum(terms) / 4, rel=1e-5)
    if t == 0 or rate == 1:
        assert found == pytest.approx(bce(positive, negative).item(), rel=1e-6)


@pytest.mark.parametrize("t", [0.0, 0.75, 1.0])
def test_gbce_is_calibrated_as_its_paper_says(t):
    """Where its gradient is 0: an item that is the next one with probability p, and a negative else with chance α."""
    p, rate = 0.1, 0.05
    score = torch.zeros((), dtype=torch.float64, requires_grad=True)
    beta = rate * (t * (1 - 1 / rate) + 1 / rate)
    optimum = beta * p / (beta * p + rate * (1 - p))
    at = torch.logit(torch.tensor(optimum, dtype=torch.float64))
    value = score + at
    none = torch.zeros(1, 0, dtype=torch.float64)
    as_positive = gbce(value[None], none, rate, t)
    as_negative = 2 * bce(torch.full((1,), 50.0, dtype=torch.float64), value[None, None])
    (p * as_positive + (1 - p) * rate * as_negative).backward()
    assert score.grad.item() == pytest.approx(0, abs=1e-12)
    if t == 1:
        assert optimum == pytest.approx(p)


@pytest.mark.parametrize("temperature", [0.1, 0.7])
@pytest.mark.parametrize("same", [None, [0, 1, 0, 2, 0, 1], [3, 3, 3, 3, 3, 3]])
def test_info_nce_is_its_formula(temperature, same):
    left, right = 3 * scores(6, 4), scores(6, 4, seed=1)

    def cosine(a, b):
        return float(a @ b / a.norm() / b.norm())

    terms = []
    for one, other in ((left, right), (right, left)):
        for i in range(6):
            rivals = [j for j in range(6) if j == i or same is None or same[j] != same[i]]
            powers = {j: math.exp(cosine(one[i], other[j]) / temperature) for j in rivals}
            terms.append(-math.log(powers[i] / sum(powers.values())))
    found = info_nce(left, right, temperature, None if same is None else torch.tensor(same))
    assert found.item() == pytest.approx(sum(terms) / 12, abs=1e-5)


def test_info_nce_in_closed_forms():
    ones = torch.eye(5)
    assert info_nce(ones, ones, 0.5).item() == pytest.approx(math.log(math.exp(2) + 4) - 2, rel=1e-5)
    assert info_nce(ones[:1].expand(5, 5), ones[:1].expand(5, 5), 0.5).item() == pytest.approx(math.log(5), rel=1e-5)


def test_sampled_softmax_of_a_row_without_negatives_has_a_gradient():
    positive = torch.tensor([0.3, 1.0], requires_grad=True)
    negative = torch.tensor([[0.5, 2.0], [1.0, -1.0]], requires_grad=True)
    with torch.autograd.detect_anomaly(check_nan=True):
        sampled_softmax(positive, negative, torch.tensor([[False, False], [True, True]])).backward()
    weights = torch.softmax(torch.tensor([1.0, 1.0, -1.0]), 0)
    torch.testing.assert_close(positive.grad, torch.stack([torch.tensor(0.0), (weights[0] - 1) / 2]))
    torch.testing.assert_close(negative.grad, torch.stack([torch.zeros(2), weights[1:] / 2]))


@pytest.mark.parametrize("at_a_time", [1, 40, 2**21], ids=["a row", "a few rows", "all"])
def test_softmax_over_all_items_is_the_cross_entropy_of_torch_in_pieces(at_a_time, monkeypatch):
    monkeypatch.setitem(losses._PRODUCTS, "cpu", at_a_time)
    states = scores(17, 6, seed=1).double().requires_grad_()
    vectors = scores(11, 6, seed=2).double().requires_grad_()
    targets = torch.arange(17) % 11
    expected = torch.nn.functional.cross_entropy(states @ vectors.T, targets)
    found = softmax(states, vectors, targets)
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(3 * loss, [states, vectors]) for loss in (found, expected))
    torch.testing.assert_close(ours, theirs)


def test_softmax_over_all_items_stays_finite_for_large_products():
    states, vectors = torch.tensor([[1000.0], [-1000.0]], requires_grad=True), torch.tensor([[1.0], [-1.0]])
    loss = softmax(states, vectors, torch.tensor([0, 0]))
    loss.backward()
    assert loss.item() == pytest.approx(1000.0)  # 0 for the one, 2,000 for the other
    assert states.grad.isfinite().all()
