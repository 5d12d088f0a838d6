"""Identifiers against the definition of the tree, planted clusters, and what can be wrong in the data of others."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from bench_colarec.items.identifiers import check_capacity, hierarchical, published, random_codes, smallest_width
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError


def sizes(codes, level):
    """Number of items of each prefix of a length, counted in the plainest way."""
    return Counter(tuple(row[:level]) for row in codes.tolist())


def assert_tree(codes, n, length, width):
    """All that the paper asks of identifiers."""
    assert codes.shape == (n, length)
    assert codes.dtype == np.int32
    assert all(0 <= token < width for row in codes.tolist() for token in row)
    assert len({tuple(row) for row in codes.tolist()}) == n
    for level in range(1, length + 1):
        assert max(sizes(codes, level).values()) <= width ** (length - level)


def assert_without_gaps(codes):
    """The tokens below each node are 0, 1, …"""
    length = codes.shape[1]
    for level in range(length):
        below = {}
        for row in codes.tolist():
            below.setdefault(tuple(row[:level]), set()).add(row[level])
        assert all(tokens == set(range(len(tokens))) for tokens in below.values())


@st.composite
def shapes(draw):
    width = draw(st.integers(2, 8))
    length = draw(st.integers(2, 4))
    n = draw(st.integers(1, min(200, width**length)))
    return n, length, width


@settings(max_examples=60, deadline=None)
@given(shape=shapes(), kind=st.sampled_from(["random", "same", "zero", "twins", "mixed"]), seed=st.integers(0, 1000))
def test_every_tree_keeps_its_bounds(shape, kind, seed):
    n, length, width = shape
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 5)).astype(np.float32)
    if kind == "same":
        vectors[:] = vectors[0]
    elif kind == "zero":
        vectors[:] = 0
    elif kind == "twins":
        vectors = vectors[rng.integers(max(1, n // 4), size=n)]
    elif kind == "mixed":
        vectors[rng.random(n) < 0.5] = 0
    codes = hierarchical(vectors, length, width, seed)
    assert_tree(codes, n, length, width)
    assert_without_gaps(codes)
    np.testing.assert_array_equal(hierarchical(vectors, length, width, seed), codes)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8])
def test_a_full_tree_of_any_length_has_room(n):
    vectors = np.random.default_rng(n).normal(size=(n, 3))
    assert_tree(hierarchical(vectors, 3, 2, 0), n, 3, 2)
    assert_tree(hierarchical(vectors, 1, max(2, n), 0), n, 1, max(2, n))


@settings(max_examples=60, deadline=None)
@given(shape=shapes(), seed=st.integers(0, 1000))
def test_random_codes_fill_the_tree_evenly(shape, seed):
    n, length, width = shape
    codes = random_codes(n, length, width, seed)
    assert_tree(codes, n, length, width)
    for level in range(1, length + 1):
        below = {}
        for prefix, size in sizes(codes, level).items():
            below.setdefault(prefix[:-1], []).append(size)
        for children in below.values():
            assert max(children) - min(children + [0] * (width - len(children))) <= 1
    np.testing.assert_array_equal(random_codes(n, length, width, seed), codes)


def test_random_codes_depend_on_the_seed_and_on_nothing_of_the_item():
    assert (random_codes(500, 3, 8, 1) != random_codes(500, 3, 8, 2)).any()
    # Were it the order of the items, neighbours would share their last tokens.
    codes = random_codes(512, 3, 8, 1)
    assert (codes[1:, 1:] == codes[:-1, 1:]).all(axis=1).mean() < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_planted_clusters_of_two_levels_are_found(seed):
    rng = np.random.default_rng(seed)
    level1 = np.repeat(np.arange(4), 16)
    level2 = np.repeat(np.arange(16), 4)
    vectors = 4 * np.eye(20)[level1] + np.eye(20)[4 + level2] + rng.normal(0, 0.02, (64, 20))
    mixed = rng.permutation(64)
    codes = hierarchical(vectors[mixed], 3, 4, seed)
    for planted, level in ((level1[mixed], 1), (level2[mixed], 2)):
        prefixes = [tuple(row[:level]) for row in codes.tolist()]
        assert len(set(zip(planted.tolist(), prefixes, strict=True))) == len(set(prefixes)) == planted.max() + 1


def test_lengths_of_vectors_do_not_matter_and_neighbours_share_prefixes():
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(10, 8)), 30, axis=0) + rng.normal(0, 0.3, (300, 8))
    codes = hierarchical(vectors, 3, 8, 1)
    np.testing.assert_array_equal(hierarchical(vectors * rng.choice([0.25, 1, 4], (300, 1)), 3, 8, 1), codes)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = unit @ unit.T
    means = []
    for level in (1, 2):
        same = (codes[:, None, :level] == codes[None, :, :level]).all(axis=2)
        np.fill_diagonal(same, False)
        means.append(likeness[same].mean())
    assert means[1] > means[0] > likeness.mean() + 0.3


def test_last_token_counts_from_the_centre_and_ties_by_item():
    # One node of four items on a line through their centre: distances 3, 1, 1, 3 (before scaling to unit length).
    angles = np.radians([-3, -1, 1, 3])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert hierarchical(vectors, 1, 4, 0)[:, 0].tolist() == [2, 0, 1, 3]


@pytest.mark.parametrize("width", [4, 6, 30])
def test_leaves_are_not_all_singletons(width):
    vectors = np.random.default_rng(0).normal(size=(60, 4))
    codes = hierarchical(vectors, 3, width, 0)
    assert np.mean(list(sizes(codes, 2).values())) >= 1.4
    assert max(sizes(codes, 2).values()) > 1


def test_progress_reaches_all_items():
    seen = []
    hierarchical(np.random.default_rng(0).normal(size=(50, 4)), 3, 4, 0, lambda *report: seen.append(report))
    assert seen[-1] == (50, 50, "item")
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)


def test_vectors_that_are_not_finite_are_refused():
    vectors = np.ones((5, 2))
    vectors[3, 1] = np.nan
    with pytest.raises(BenchError, match="1 of 5 items are not finite"):
        hierarchical(vectors, 3, 2, 0)


@given(st.integers(1, 10**6), st.integers(1, 5))
def test_smallest_width_is_the_smallest(n, length):
    width = smallest_width(n, length)
    assert width**length >= n
    assert width == 2 or (width - 1) ** length < n


def test_a_tree_that_is_too_small_is_refused_before_any_work():
    check_capacity(32_768, 3, 32)
    with pytest.raises(BenchError) as caught:
        check_capacity(41_000, 3, 32)
    assert str(caught.value) == (
        "a tree of K=32 and length 3 holds 32,768 items, the catalogue has 41,000: raise codebook_size to at least 35 "
        "or codes to 4, or leave codebook_size out"
    )
    for call in (lambda: hierarchical(np.ones((9, 2)), 3, 2, 0), lambda: random_codes(9, 3, 2, 0)):
        with pytest.raises(BenchError, match="holds 8 items, the catalogue has 9"):
            call()
    with pytest.raises(BenchError, match="codebook_size is 1"):
        check_capacity(1, 3, 1)
    with pytest.raises(BenchError, match="codes is 0"):
        check_capacity(1, 0, 4)


def test_published_identifiers_count_from_zero_or_one():
    expected = [[0, 1, 0], [2, 0, 1]]
    assert published(["1 2 1", "3 1 2"]).tolist() == expected
    assert published(["0 1 0", " 2  0 1 "], 2).tolist() == expected
    assert published(["1 2 1", "3 1 2"]).dtype == np.int32


@pytest.mark.parametrize(
    ("gids", "n_items", "message"),
    [
        (["1 2", "1 3"], 3, "2 published GIDs for 3 items"),
        ([], None, "0 published GIDs"),
        (["1 2", "", " "], 3, "2 of 3 items have no published GID"),
        (["1 2", "1 x"], 2, "'1 x' is not a row of integers"),
        (["1 2", "1 -3"], 2, "'1 -3' is not a row"),
        (["1 2", "1 ²"], 2, "'1 ²' is not a row"),
        (["1 2", "1 1234567"], 2, "below 100,000"),
        (["1 2", "1 2 3"], 2, "'1 2' and '1 2 3' are not equally long"),
        (["1 2", "1 3", "1  2"], 3, "'1 2' stands for two items, 0 and 2"),
    ],
)
def test_published_identifiers_with_faults_are_refused(gids, n_items, message):
    with pytest.raises(BenchError, match=message):
        published(gids, n_items)


@pytest.mark.raw
def test_identifiers_of_the_release_are_a_tree_of_three_times_32(raw_dir):
    from bench.data.catalog import card
    from bench.data.prepare import prepare

    texts = prepare(card("colarec-phone"), raw_dir).item_texts()
    codes = published(texts["gid"].tolist(), len(texts))
    assert_tree(codes, 10_429, 3, 32)
    assert codes.min(axis=0).tolist() == [0, 0, 0]
    assert codes.max(axis=0).tolist() == [31, 31, 31]


@pytest.mark.slow
@pytest.mark.parametrize("width", [22, 32])
def test_a_catalogue_of_the_usual_size_takes_seconds(width):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 64))[rng.integers(200, size=10_429)] + rng.normal(0, 0.8, (10_429, 64))
    assert_tree(hierarchical(vectors, 3, width, 1), 10_429, 3, width)
