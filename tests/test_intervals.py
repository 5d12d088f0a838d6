"""The one rule of intervals over users and seeds, against closed forms, scipy and simulation."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

from bench.evaluation.intervals import (
    ASSUMED_SPREAD,
    Estimate,
    Part,
    Sample,
    detectable,
    holm,
    likely_spread,
    ranks,
    stacked,
)

USERS, EXPERIMENTS = 300, 2000


def skewed(rng, shape):
    """Like NDCG of users with few test items: three in four are 0, the others anywhere up to 1. The mean is 1/8."""
    return rng.random(shape) * (rng.random(shape) < 0.25)


def world(rng, seeds, spread, shared=None):
    """(S, n, m): m experiments with users who are alike for all seeds, or for all models, and seeds that differ.

    ``spread`` is the standard deviation over seeds by the standard error over users of one seed.
    """
    users = rng.normal(size=(USERS, EXPERIMENTS)) if shared is None else shared
    m = users.shape[1]
    return users + rng.normal(size=(seeds, USERS, m)) + rng.normal(0, spread * math.sqrt(2 / USERS), (seeds, 1, m))


# Users ----------------------------------------------------------------------------------------------------------------


def over_users(values):
    """(n, m) values of a model without seeds."""
    return Sample(values[None], deterministic=True).estimate.interval()


def test_interval_by_hand():
    """Of 1, 2, 3, 4: mean 5/2, variance 5/3, standard error √(5/12)."""
    found = over_users(np.array([[1.0], [2.0], [3.0], [4.0]]))
    half = 1.959964 * math.sqrt(5 / 12)
    assert found.mean.tolist() == [2.5]
    assert (found.low[0], found.high[0]) == pytest.approx((2.5 - half, 2.5 + half))


def test_interval_of_yes_and_no_is_walds():
    """A hit rate p of n users has the standard error √(p (1 − p) / (n − 1))."""
    found = over_users(np.repeat([1.0, 0.0], [30, 170])[:, None])
    half = 1.959964 * math.sqrt(0.15 * 0.85 / 199)
    assert (found.low[0], found.high[0]) == pytest.approx((0.15 - half, 0.15 + half))


def test_interval_over_users_is_that_of_scipy():
    data = np.random.default_rng(0).gamma(2.0, size=(300, 2))
    found = over_users(data)
    expected = scipy.stats.norm.interval(0.95, data.mean(axis=0), scipy.stats.sem(data))
    np.testing.assert_allclose((found.low, found.high), expected, rtol=1e-9)


@pytest.mark.parametrize(("n", "least"), [(50, 0.91), (200, 0.935), (1000, 0.94)])
def test_interval_over_users_covers_the_truth_as_often_as_it_says(n, least):
    found = over_users(skewed(np.random.default_rng(n), (n, 4000)))  # 4000 experiments with n users
    assert least < np.mean((found.low <= 1 / 8) & (found.high >= 1 / 8)) < 0.96


def test_one_user_has_a_mean_and_no_interval():
    found = over_users(np.array([[1.0, 0.5]]))
    assert found.mean.tolist() == [1.0, 0.5]
    assert np.isnan([found.low, found.high]).all()


def test_no_users_give_no_interval():
    found = over_users(np.zeros((0, 3)))
    assert all(np.isnan(part).all() and part.shape == (3,) for part in found)


# Users and seeds ------------------------------------------------------------------------------------------------------


def test_the_two_parts_by_hand():
    """Three seeds and two users: the seeds' means are 1, 2 and 6, those of the users 2 and 4, and nothing is left."""
    values = np.array([[0.0, 2.0], [1.0, 3.0], [5.0, 7.0]])[:, :, None]
    found = Sample(values, deterministic=False).estimate
    assert found.mean.tolist() == [3.0]
    assert found.users[0] == pytest.approx(1)
    [seeds] = found.seeds
    assert (seeds.errors[0], seeds.freedom) == (pytest.approx(math.sqrt(7 / 3)), 2)
    apart = scipy.stats.norm.ppf(0.975) ** 2 * 1 + scipy.stats.t.ppf(0.975, 2) ** 2 * 7 / 3
    satterthwaite = (1 + 7 / 3) ** 2 / ((7 / 3) ** 2 / 2)
    together = scipy.stats.t.ppf(0.975, satterthwaite) ** 2 * (1 + 7 / 3)
    assert found.half_width()[0] == pytest.approx(math.sqrt((apart + together) / 2))


def test_the_errors_are_those_of_the_means_of_many_experiments():
    """Variances of the parts add up to that of the mean, with what stands in both counted once."""
    values = world(np.random.default_rng(1), 5, 1.0)
    found = Sample(values, deterministic=False).estimate
    told = np.mean(found.users**2 + found.seeds[0].errors ** 2)
    assert told == pytest.approx((1 + 1 / 5 + 2 / 5) / USERS, rel=0.04)
    assert told == pytest.approx(values.mean(axis=(0, 1)).var(), rel=0.1)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("spread", [0, 1, 3])
def test_interval_covers_the_truth_with_few_seeds(seeds, spread):
    values = world(np.random.default_rng([seeds, spread]), seeds, spread)
    found = Sample(values, deterministic=False).estimate.interval()
    assert 0.93 <= np.mean((found.low <= 0) & (found.high >= 0)) <= 0.97


def test_a_two_level_bootstrap_would_not():
    """What the rule is for: seeds and users drawn again, three seeds that spread three times as much as users err."""
    rng = np.random.default_rng(3)
    covered = []
    for values in np.moveaxis(world(rng, 3, 3)[:, :, :300], 2, 0):
        means = [values[rng.integers(3, size=3)][:, rng.integers(USERS, size=USERS)].mean() for _ in range(200)]
        low, high = np.quantile(means, [0.025, 0.975])
        covered.append(low <= 0 <= high)
    assert np.mean(covered) < 0.9


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("spread", [0, 1, 3])
def test_seeds_of_one_model_are_rarely_called_different(seeds, spread):
    rng = np.random.default_rng([seeds, spread, 1])
    users = rng.normal(size=(USERS, EXPERIMENTS))
    one, other = (Sample(world(rng, seeds, spread, users), deterministic=False) for _ in range(2))
    found = one.minus(other)
    assert np.mean(found.p_values() < 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / EXPERIMENTS)
    interval = found.interval()
    np.testing.assert_array_equal(found.p_values() < 0.05, (interval.low > 0) | (interval.high < 0))


def test_two_single_seeds_of_one_model_are_rarely_called_different():
    """A true spread of 4 % where 5 % are assumed, and users who hardly err."""
    rng = np.random.default_rng(4)
    users = np.abs(rng.normal(1, 0.5, (USERS, EXPERIMENTS)))
    level = users.mean(axis=0)
    one, other = (
        Sample(users[None] + level * rng.normal(0, 0.04, (1, 1, EXPERIMENTS)), deterministic=False) for _ in range(2)
    )
    assert one.estimate.seeds == ()
    found = one.minus(other)
    assert [part.errors[0] for part in found.seeds] == [ASSUMED_SPREAD * s.mean[0] for s in (one, other)]
    assert np.mean(found.p_values() < 0.05) < 0.05


def test_a_paired_difference_is_covered_and_narrower_than_an_unpaired_one():
    """Two models without seeds that are good for the same users, one better by .02 on average."""
    rng = np.random.default_rng(7)
    shared = skewed(rng, (300, 4000))
    first, second = (
        Sample((shared + rng.normal(better, 0.1, shared.shape))[None], deterministic=True) for better in (0.02, 0.0)
    )
    found = first.minus(second).interval()
    assert 0.94 < np.mean((found.low <= 0.02) & (found.high >= 0.02)) < 0.96
    unpaired = np.hypot(first.estimate.half_width(), second.estimate.half_width())
    assert (found.high - found.low < 1.2 * unpaired).all()
    turned = second.minus(first).interval()
    np.testing.assert_array_equal((turned.mean, turned.low, turned.high), (-found.mean, -found.high, -found.low))


# What rows tell each other of seeds -----------------------------------------------------------------------------------


def of_spread(rng, rows, seeds, spread, freedom):
    """Means (S, 1) of ``rows`` rows: squared spreads are scaled inverse χ² with so many degrees of freedom."""
    found = spread * (1.0 if math.isinf(freedom) else np.sqrt(freedom / rng.chisquare(freedom, rows)))
    levels = rng.uniform(0.1, 0.5, rows)
    return [
        (level * (1 + rng.normal(0, 1, (seeds, 1)) * own))
        for level, own in zip(levels, found * np.ones(rows), strict=True)
    ]


@pytest.mark.parametrize("seeds", [3, 5])
def test_spreads_of_a_known_distribution_are_found_again(seeds):
    told = likely_spread(of_spread(np.random.default_rng(seeds), 20_000, seeds, 0.02, 6.0))
    assert told.relative[0] == pytest.approx(0.02, rel=0.02)
    assert told.weight[0] == pytest.approx(6.0, rel=0.1)
    assert told.weight[0] * 0.9 < told.freedom[0] < told.weight[0]


def test_rows_that_spread_alike_have_the_mean_of_their_logarithms():
    """By hand: of log s², less what it is short of log σ² by chance, ψ(1) − log(1) = −.5772 for three seeds."""
    spreads = [0.1, 0.12, 0.11, 0.105, 0.115, 0.111, 0.109, 0.121, 0.099]
    rows = [level * (1 + own * np.array([[-1.0], [0.0], [1.0]])) for level, own in enumerate(spreads, 1)]
    told = likely_spread(rows)
    expected = 2 * np.log(spreads).mean() + 0.5772156649
    assert told.relative[0] == pytest.approx(math.exp(expected / 2))
    assert (told.weight[0], told.most[0]) == (math.inf, 18)
    # They may differ by one standard error of what chance would show: √(2 / 8) · ψ′(1) = π² / 12.
    assert scipy.special.polygamma(1, told.freedom[0] / 2) == pytest.approx(math.pi**2 / 12)
    [part] = [told.beside(Part(np.array([0.1 / math.sqrt(3)]), 2), np.array([1.0]), 3)]
    assert part.errors[0] == pytest.approx(told.relative[0] / math.sqrt(3))
    assert part.freedom[0] == pytest.approx(2 + told.freedom[0])


def test_a_row_is_never_taken_to_spread_less_than_it_does():
    told = likely_spread(of_spread(np.random.default_rng(0), 10, 3, 0.01, math.inf))
    own = Part(np.array([0.5]), 2)
    assert told.beside(own, np.array([1.0]), 3).errors[0] == 0.5
    assert told.beside(Part(np.zeros(1), 2), np.array([1.0]), 3).errors[0] == 0


@pytest.mark.parametrize("rows", [0, 4])
def test_too_few_rows_tell_nothing(rows):
    told = likely_spread(of_spread(np.random.default_rng(0), rows, 3, 0.01, math.inf))
    own = Part(np.array([0.25]), 2)
    beside = told.beside(own, np.array([1.0]), 3)
    assert (beside.errors[0], beside.freedom[0]) == (0.25, 2)
    single = told.of_one_seed(np.array([0.5]))
    assert (single.errors[0], single.freedom[0]) == (0.5 * ASSUMED_SPREAD, math.inf)


def test_rows_of_one_result_tell_once_and_those_without_spread_not_at_all():
    """A tuned row that is the default, a row whose seeds are all alike, and one that found nothing."""
    rows = of_spread(np.random.default_rng(1), 5, 3, 0.02, 4.0)
    more = [*rows, rows[2], np.full((3, 1), 0.2), np.zeros((3, 1))]
    assert likely_spread(more) == likely_spread(rows)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(("spread", "apart"), [(0, 0), (1, 0.6), (3, 0.6)])
def test_rows_that_tell_each_other_are_rarely_called_different(seeds, spread, apart):
    """Tables of eight level rows, whose seeds spread alike or each by another factor."""
    rng, tables = np.random.default_rng([seeds, spread]), EXPERIMENTS // 2
    users = 10 + rng.normal(size=(USERS, tables))
    factors = spread * np.exp(rng.normal(0, apart, (8, tables)))
    values = [world(rng, seeds, factors[row], users) for row in range(8)]
    told = likely_spread([one.mean(axis=1) for one in values])
    rows = [Sample(one, deterministic=False) for one in values]
    found = np.array([a.minus(b, told).p_values() for i, a in enumerate(rows) for b in rows[:i]])
    assert np.mean(found < 0.05) <= 0.055
    assert np.mean(found.min(axis=0) * len(found) < 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / tables)


def test_what_rows_tell_each_other_tells_more_apart():
    """Eight rows of three seeds, one of them better by six standard errors: by its own spread alone it is not told."""
    rng = np.random.default_rng(9)
    users = 10 + rng.normal(size=(USERS, EXPERIMENTS))
    values = [world(rng, 3, 1, users) + (0.5 if row == 0 else 0) for row in range(8)]
    told = likely_spread([one.mean(axis=1) for one in values])
    rows = [Sample(one, deterministic=False) for one in values]
    alone, beside = (rows[0].minus(rows[1], spread).p_values() * 28 < 0.05 for spread in (None, told))
    assert np.mean(alone) < 0.25 < 0.7 < np.mean(beside)


# Families -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [2, 4, math.inf])
def test_p_values_of_one_part_are_those_of_its_distribution(freedom):
    means = np.array([0.0, 0.5, -2.0, 9.0])
    found = Estimate(means, np.zeros(4), (Part(np.ones(4), freedom),)).p_values()
    expected = 2 * (scipy.stats.norm if math.isinf(freedom) else scipy.stats.t(freedom)).sf(np.abs(means))
    np.testing.assert_allclose(found, np.maximum(expected, 1e-15), rtol=1e-6)


def test_a_difference_without_error_is_certain():
    same = np.full((1, 50, 1), 0.5)
    found = Sample(same + 0.25, deterministic=True).minus(Sample(same, deterministic=True))
    assert found.interval().low[0] == found.interval().high[0] == 0.25
    assert found.p_values()[0] < 1e-14
    assert Sample(same, True).minus(Sample(same, True)).p_values()[0] == 1


def test_holm_by_hand():
    """.01 · 4, .02 · 3, and .03 · 2 and .04, which may not fall below it."""
    found = holm(np.array([0.04, 0.01, np.nan, 0.03, 0.02]))
    np.testing.assert_allclose(found, [0.06, 0.04, np.nan, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_holm_counts_one_question_once():
    """By hand, three questions: 3 × .01, 2 × .02, 1 × .04; what repeats one bears its factor and weighs on nobody."""
    alone = holm(np.array([0.01, 0.02, 0.04]))
    np.testing.assert_allclose(alone, [0.03, 0.04, 0.04])
    repeated = holm(np.array([0.01, 0.03, 0.02, 0.01, 0.04, 0.015]), np.array([7, 8, 8, 7, 9, 7]))
    np.testing.assert_allclose(repeated, [0.03, 0.06, 0.04, 0.03, 0.04, 0.045])


def test_holm_keeps_the_error_of_a_family():
    """Six rows that are level, three seeds each: in at most 5 % of all tables any two are told apart."""
    rng = np.random.default_rng(6)
    users = rng.normal(size=(USERS, EXPERIMENTS))
    rows = [Sample(world(rng, 3, 1, users), deterministic=False) for _ in range(6)]
    p_values = np.array([a.minus(b).p_values() for i, a in enumerate(rows) for b in rows[:i]])
    told = [(holm(column) < 0.05).any() for column in p_values.T]
    assert np.mean(told) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / EXPERIMENTS)


def test_ranks_count_what_is_surely_above_and_below():
    better = np.zeros((4, 4), bool)
    better[0, 2] = better[0, 3] = better[1, 3] = True
    assert ranks(better) == [(1, 2), (1, 3), (2, 4), (3, 4)]


def test_what_is_detectable_is_detected_so_often():
    rng = np.random.default_rng(8)
    difference = Sample(rng.normal(size=(1, 400, 1)), True).minus(Sample(rng.normal(size=(1, 400, 1)), True))
    true = float(detectable(difference)[0])
    assert true == pytest.approx((1.959964 + 0.841621) * math.sqrt(2 / 400), rel=0.1)
    shown = true + rng.normal(0, difference.users[0], 20000) > difference.half_width()[0]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.01)


def test_stacked_estimates_are_what_they_are_one_by_one():
    rng = np.random.default_rng(5)
    shapes = [((1, 40, 1), True), ((1, 40, 1), False), ((3, 40, 1), False), ((5, 40, 1), False)]
    samples = [Sample(rng.normal(1, 1, shape), deterministic) for shape, deterministic in shapes]
    own = [a.minus(b) for a in samples for b in samples if a is not b]
    assert {len(one.seeds) for one in own} == {1, 2}
    found = stacked(own)
    assert found.half_width().tolist() == [float(one.half_width()[0]) for one in own]
    assert found.p_values().tolist() == [float(one.p_values()[0]) for one in own]
    assert detectable(found).tolist() == [float(detectable(one)[0]) for one in own]
