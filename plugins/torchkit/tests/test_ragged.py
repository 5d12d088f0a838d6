"""Rows of different lengths against lists of lists."""

import itertools

import numpy as np
from bench_torchkit.ragged import gather, latest_first, padded, pointers, row_of, sample, within
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import chisquare

LENGTHS = st.lists(st.integers(0, 6), max_size=12)


@given(LENGTHS)
def test_pointers_and_places_within_rows(lengths):
    array = np.array(lengths, np.int64)
    assert pointers(array).tolist() == [sum(lengths[:r]) for r in range(len(lengths) + 1)]
    assert within(array).tolist() == [place for length in lengths for place in range(length)]


@given(LENGTHS)
def test_the_row_of_each_place(lengths):
    indptr = pointers(np.array(lengths, np.int64))
    expected = [row for row, length in enumerate(lengths) for _ in range(length)]
    assert row_of(indptr, np.arange(sum(lengths))).tolist() == expected


@given(LENGTHS, st.data())
def test_gather_joins_rows(lengths, data):
    indptr = pointers(np.array(lengths, np.int64))
    values = np.random.default_rng(0).permutation(int(indptr[-1]))
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=9)) if lengths else []
    expected = [value for row in chosen for value in values[indptr[row] : indptr[row + 1]].tolist()]
    assert values[gather(indptr, np.array(chosen, np.int64))].tolist() == expected


@given(LENGTHS, st.none() | st.integers(1, 4), st.data())
def test_padded_rows(lengths, most, data):
    indptr = pointers(np.array(lengths, np.int64))
    values = np.random.default_rng(0).permutation(int(indptr[-1]))
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=9)) if lengths else []
    at, mask = padded(indptr, np.array(chosen, np.int64), most)
    rows = [values[indptr[row] : indptr[row + 1]][:most].tolist() for row in chosen]
    assert at.shape == mask.shape == (len(chosen), max(map(len, rows), default=0))
    assert [values[places[real]].tolist() for places, real in zip(at, mask, strict=True)] == rows
    assert not at[~mask].any()


@given(LENGTHS, st.integers(1, 8))
def test_latest_first(lengths, most):
    indptr = pointers(np.array(lengths, np.int64))
    values = np.random.default_rng(0).permutation(int(indptr[-1]))
    rows = [values[begin:end][::-1][:most].tolist() for begin, end in itertools.pairwise(indptr)]
    assert latest_first(indptr, values, most).tolist() == [row + [-1] * (most - len(row)) for row in rows]


@given(LENGTHS, st.integers(0, 99), st.data())
def test_sample_takes_as_many_as_there_are_and_none_that_is_forbidden(lengths, seed, data):
    most = np.array(data.draw(st.lists(st.integers(0, 7), min_size=len(lengths), max_size=len(lengths))), np.int64)
    never = data.draw(hnp.arrays(bool, sum(lengths)))
    chosen = sample(np.random.default_rng(seed), np.array(lengths, np.int64), most, never)
    assert not (chosen & never).any()
    indptr = pointers(np.array(lengths, np.int64))
    for row in range(len(lengths)):
        part = slice(indptr[row], indptr[row + 1])
        assert chosen[part].sum() == min(most[row], (~never[part]).sum())


def test_every_set_is_equally_likely():
    # Many copies of a row of 6 values, of which the third is forbidden: 10 sets of 2 of the other 5.
    n = 20_000
    never = np.tile(np.array([False, False, True, False, False, False]), n)
    chosen = sample(np.random.default_rng(3), np.full(n, 6), np.full(n, 2), never).reshape(n, 6)
    counts = [int(chosen[:, pair].all(axis=1).sum()) for pair in itertools.combinations([0, 1, 3, 4, 5], 2)]
    assert sum(counts) == n
    assert chisquare(counts).pvalue > 0.01
