"""Against numbers by hand."""

import numpy as np
import pytest
from bench_torchkit.vectors import unit_rows


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_rows_get_length_1_and_zero_rows_stay(precision):
    vectors = np.array([[3, -4], [0, 0], [0, 1e-15]], precision)
    found = unit_rows(vectors)
    assert found.dtype == precision
    assert found == pytest.approx(np.array([[0.6, -0.8], [0, 0], [0, 1]]))
    assert vectors[0].tolist() == [3, -4]


def test_no_dimensions():
    assert unit_rows(np.zeros((3, 0))).shape == (3, 0)
