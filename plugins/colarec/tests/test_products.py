"""Products of states with rows of their own: values and gradients by the definition."""

import pytest
import torch
from bench_colarec.network.codebooks import Products


@pytest.fixture
def given():
    """States (5, 3), a table (7, 3) of which a row is met thrice and others never, and rows (5, 4)."""
    torch.manual_seed(1)
    rows = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0], [5, 5, 0, 0], [1, 1, 1, 1], [0, 5, 3, 2]])
    return torch.randn(5, 3, dtype=torch.float64), torch.randn(7, 3, dtype=torch.float64), rows


def test_they_are_the_products(given):
    states, table, rows = given
    expected = [[float(state @ table[row]) for row in own] for state, own in zip(states, rows, strict=True)]
    torch.testing.assert_close(Products.apply(states, table, rows), torch.tensor(expected, dtype=torch.float64))


def test_gradients_are_those_of_finite_differences(given):
    states, table, rows = given
    assert torch.autograd.gradcheck(Products.apply, (states.requires_grad_(), table.requires_grad_(), rows))


def test_an_inference_needs_no_gradients(given):
    states, table, rows = given
    with torch.inference_mode():
        found = Products.apply(states * 1, table, rows + 0)
    torch.testing.assert_close(found, Products.apply(states, table, rows))
    assert not found.requires_grad
