"""Dropout by bytes against what dropout is."""

import math

import pytest
import torch
from bench_torchkit.dropout import Dropout, dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 0.999])
def test_share_of_zeros_and_scale_of_the_rest(p):
    torch.manual_seed(0)
    n = 100_003  # no multiple of eight
    found = dropout(torch.ones(n), p)
    rounded = min(round(256 * p), 255) / 256
    zeros = int((found == 0).sum())
    assert abs(zeros - n * rounded) < 5 * math.sqrt(n * rounded * (1 - rounded))
    torch.testing.assert_close(found[found != 0].unique(), torch.tensor([1 / (1 - rounded)]))


def test_values_are_dropped_apart_from_each_other():
    torch.manual_seed(0)
    kept = (dropout(torch.ones(80_000), 0.5) != 0).float().view(-1, 8)
    assert (torch.corrcoef(kept.T) - torch.eye(8)).abs().max() < 0.05
    assert abs(torch.corrcoef(torch.stack([kept[:-1].flatten(), kept[1:].flatten()]))[0, 1]) < 0.02


def test_seed_decides_and_gradients_flow_through_what_is_kept():
    x = torch.randn(7, 5, requires_grad=True)
    torch.manual_seed(3)
    one = dropout(x, 0.5)
    torch.manual_seed(3)
    two = dropout(x, 0.5)
    assert torch.equal(one, two)
    one.sum().backward()
    assert torch.equal(x.grad, torch.where(one == 0, 0.0, 2.0))


def test_nothing_is_dropped_outside_of_training():
    x = torch.ones(100)
    layer = Dropout(0.5)
    assert (layer(x) == 0).any()
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
