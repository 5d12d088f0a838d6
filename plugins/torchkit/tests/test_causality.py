"""A state that reads what it has to predict is found, wherever it reads it."""

import pytest
import torch
from bench_torchkit.causality import check_unseen
from bench_torchkit.rows import Rows

from bench import PluginError

PLACES = torch.tensor([[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 0]])
ROWS = Rows(
    items=torch.tensor([[3, 1, 4, 2, 5, 9], [7, 2, 6, 8, 0, 10]]),
    segments=torch.tensor([[0] * 6, [0] * 5 + [-1]]),
    places=PLACES,
    ages=torch.zeros_like(PLACES),
    times=torch.zeros_like(PLACES),
    last=torch.tensor([5, 10]),
)
AT = torch.tensor([0, 1, 2, 3, 4, 6, 7, 8, 9])
VECTORS = torch.randn(11, 4, generator=torch.Generator().manual_seed(1))


def states(kernel):
    """Each place reads the places at these distances before it, with these weights."""

    def found(rows, at):
        x = VECTORS[rows.items]
        out = torch.zeros_like(x)
        for distance, weight in kernel.items():
            for place in range(6):
                if 0 <= place - distance < 6:
                    out[:, place] += weight * x[:, place - distance]
        return out.flatten(0, 1)[at]

    return found


@pytest.mark.parametrize("kernel", [{0: 1.0}, {0: 1.0, 1: 0.5}])
def test_states_of_the_past_pass(kernel):
    check_unseen(states(kernel), ROWS, AT, 10)


@pytest.mark.parametrize("kernel", [{0: 1.0, -1: 0.1}, {0: 1.0, -2: 0.1}])
def test_states_that_read_the_future_are_found(kernel):
    with pytest.raises(PluginError, match="reads items behind it"):
        check_unseen(states(kernel), ROWS, AT, 10)


def test_nothing_to_predict_passes():
    check_unseen(lambda rows, at: VECTORS[rows.items].flatten(0, 1)[at], ROWS, AT[:0], 10)
