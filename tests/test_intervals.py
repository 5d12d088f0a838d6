"""Bootstrap intervals against scipy, theory and simulation."""

import numpy as np
import pytest
import scipy.stats

from bench.evaluation import intervals
from bench.evaluation.intervals import bootstrap


def values(n=300, m=2, seed=0):
    return np.random.default_rng(seed).gamma(2.0, size=(n, m))


def test_interval_is_that_of_scipy():
    data = values()
    found = bootstrap(data, resamples=20_000)
    for column in range(data.shape[1]):
        other = scipy.stats.bootstrap(
            (data[:, column],), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
        ).confidence_interval
        width = other.high - other.low
        assert found.low[column] == pytest.approx(other.low, abs=0.02 * width)
        assert found.high[column] == pytest.approx(other.high, abs=0.02 * width)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_interval_of_many_users_is_the_normal_one(level):
    data = values(n=5000, m=1)
    found = bootstrap(data, level=level, resamples=5000)
    error = data.std(ddof=1) / np.sqrt(len(data)) * scipy.stats.norm.ppf((1 + level) / 2)
    assert found.mean[0] == data.mean()
    assert found.low[0] == pytest.approx(data.mean() - error, abs=0.1 * error)
    assert found.high[0] == pytest.approx(data.mean() + error, abs=0.1 * error)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    columns = rng.gamma(2.0, size=(200, 400))  # 400 experiments of 200 users; the true mean is 2
    found = bootstrap(columns, level=0.9, resamples=1000)
    covered = np.mean((found.low <= 2) & (found.high >= 2))
    assert 0.85 < covered < 0.94


def test_constant_difference_has_no_width():
    found = bootstrap(np.full((50, 1), 0.25))
    assert (found.mean[0], found.low[0], found.high[0]) == (0.25, 0.25, 0.25)


def test_no_users_give_no_interval():
    found = bootstrap(np.zeros((0, 3)))
    assert all(np.isnan(part).all() and part.shape == (3,) for part in found)


def test_seed_decides_and_memory_does_not(monkeypatch):
    data = values()
    first = bootstrap(data)
    assert np.array_equal(bootstrap(data).low, first.low)
    assert not np.array_equal(bootstrap(data, seed=1).low, first.low)
    monkeypatch.setattr(intervals, "_CHUNK", 1000)
    np.testing.assert_allclose(bootstrap(data).low, first.low, rtol=1e-12)
