"""The one rule of 95 % intervals, against closed forms, scipy and simulation."""

import math

import numpy as np
import pytest
import scipy.stats

from bench.evaluation.intervals import half_width, over_users, standard_errors


def values(n=300, m=2, seed=0):
    return np.random.default_rng(seed).gamma(2.0, size=(n, m))


def test_interval_by_hand():
    """Of 1, 2, 3, 4: mean 5/2, variance 5/3, standard error √(5/12)."""
    found = over_users(np.array([[1.0], [2.0], [3.0], [4.0]]))
    half = 1.96 * math.sqrt(5 / 12)
    assert found.mean.tolist() == [2.5]
    assert (found.low[0], found.high[0]) == pytest.approx((2.5 - half, 2.5 + half))
    assert half_width(math.sqrt(5 / 12)) == pytest.approx(half)


def test_interval_of_yes_and_no_is_walds():
    """A hit rate p of n users has the standard error √(p (1 − p) / (n − 1))."""
    hits = np.repeat([1.0, 0.0], [30, 170])[:, None]
    found = over_users(hits)
    half = 1.96 * math.sqrt(0.15 * 0.85 / 199)
    assert (found.low[0], found.high[0]) == pytest.approx((0.15 - half, 0.15 + half))


def test_interval_is_that_of_scipy():
    data = values()
    found = over_users(data)
    low, high = scipy.stats.norm.interval(0.95, data.mean(axis=0), scipy.stats.sem(data))
    np.testing.assert_allclose((found.low, found.high), (low, high), rtol=1e-5)
    np.testing.assert_allclose(standard_errors(data), scipy.stats.sem(data), rtol=1e-12)


def skewed(rng, shape):
    """Like NDCG of users with few test items: three in four are 0, the others anywhere up to 1. The mean is 1/8."""
    return rng.random(shape) * (rng.random(shape) < 0.25)


@pytest.mark.parametrize(("n", "least"), [(50, 0.91), (200, 0.935), (1000, 0.94)])
def test_interval_covers_the_truth_as_often_as_it_says(n, least):
    found = over_users(skewed(np.random.default_rng(n), (n, 4000)))  # 4000 experiments with n users
    covered = np.mean((found.low <= 1 / 8) & (found.high >= 1 / 8))
    assert least < covered < 0.96


def test_interval_of_a_paired_difference_covers_it_and_is_narrower():
    """Two models that are good for the same users, one better by .02 on average."""
    rng = np.random.default_rng(7)
    shared = skewed(rng, (300, 4000))
    first, second = (shared + rng.normal(better, 0.1, shared.shape) for better in (0.02, 0.0))
    found = over_users(first - second)
    covered = np.mean((found.low <= 0.02) & (found.high >= 0.02))
    assert 0.94 < covered < 0.96
    unpaired = 1.96 * np.sqrt(standard_errors(first) ** 2 + standard_errors(second) ** 2)
    assert (found.high - found.low < 1.2 * unpaired).all()


def test_swapping_the_models_turns_the_interval_round():
    data = values(m=1) - values(m=1, seed=1)
    one, other = over_users(data), over_users(-data)
    assert (one.mean, one.low, one.high) == (-other.mean, -other.high, -other.low)


def test_constant_difference_has_no_width():
    found = over_users(np.full((50, 1), 0.25))
    assert (found.mean[0], found.low[0], found.high[0]) == (0.25, 0.25, 0.25)


def test_one_user_has_a_mean_and_no_interval():
    found = over_users(np.array([[1.0, 0.5]]))
    assert found.mean.tolist() == [1.0, 0.5]
    assert np.isnan([found.low, found.high]).all()


def test_no_users_give_no_interval():
    found = over_users(np.zeros((0, 3)))
    assert all(np.isnan(part).all() and part.shape == (3,) for part in found)
