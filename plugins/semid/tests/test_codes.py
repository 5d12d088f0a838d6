"""From items to codes: planted structure, sklearn and numpy as witnesses."""

import numpy as np
import pandas as pd
import pytest
from bench_semid.config import RPGConfig, TigerConfig
from bench_semid.items import vectors
from bench_semid.items.facts import as_lines, describe, numbered
from bench_semid.items.quantize import product, residual_k_means, rotated_product
from bench_semid.items.rqvae import rq_vae
from bench_semid.items.tokenizer import tables
from pydantic import ValidationError
from sklearn.decomposition import PCA

from bench import ConfigError, DataError


def same_partition(found, expected):
    """Whether the two label the same items alike."""
    pairs = len(set(zip(found.tolist(), expected.tolist(), strict=True)))
    return pairs == len(set(found.tolist())) == len(set(expected.tolist()))


def planted(rng, scales=(10.0, 1.0), values=4, size=8, copies=6):
    """Sums of a large and a small vector of orthogonal ones, and their numbers."""
    table = np.linalg.qr(rng.normal(size=(size, size)))[0][: 2 * values].reshape(2, values, size)
    labels = np.array([(a, b) for a in range(values) for b in range(values)] * copies)
    found = scales[0] * table[0][labels[:, 0]] + scales[1] * table[1][labels[:, 1]]
    return (found + rng.normal(0, 0.01, found.shape)).astype(np.float32), labels


def test_residual_k_means_finds_planted_levels():
    given, labels = planted(np.random.default_rng(0))
    found = residual_k_means(given, 2, 4, seed=1)
    assert found.dtype == np.int32
    assert same_partition(found[:, 0], labels[:, 0])
    assert same_partition(found[:, 1], labels[:, 1])


def test_product_finds_planted_slices():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (200, 3))
    table = rng.normal(0, 5, (3, 4, 2))
    given = np.concatenate([table[part][labels[:, part]] for part in range(3)], axis=1)
    found = product((given + rng.normal(0, 0.01, given.shape)).astype(np.float32), 3, 4, seed=0)
    assert all(same_partition(found[:, part], labels[:, part]) for part in range(3))


def left_over(given, codes, values):
    """Mean square that no sum of one vector for each code can explain."""
    hot = np.concatenate([np.eye(values)[column] for column in codes.T], axis=1)
    return float(np.square(given - hot @ np.linalg.lstsq(hot, given, rcond=None)[0]).mean())


def test_a_rotation_loses_less_where_slices_do_not_lie_along_the_axes():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 8, (600, 4))
    table = rng.normal(0, 3, (4, 8, 2))
    straight = np.concatenate([table[part][labels[:, part]] for part in range(4)], axis=1)
    given = (straight @ np.linalg.qr(rng.normal(size=(8, 8)))[0]).astype(np.float32)
    plain, rotated = product(given, 4, 8, 0), rotated_product(given, 4, 8, 0)
    assert left_over(given, rotated, 8) < 0.8 * left_over(given, plain, 8)
    np.testing.assert_array_equal(rotated, rotated_product(given, 4, 8, 0))


def test_slices_have_to_be_equal():
    with pytest.raises(ConfigError, match="6 dimensions have no 4 equal slices"):
        product(np.zeros((3, 6), np.float32), 4, 2, 0)


@pytest.mark.parametrize(("config", "changes", "said"), [
    (TigerConfig, {"quantizer": "product"}, {"codes": 4, "vectors_size": 129}),
    (RPGConfig, {"vectors_size": 100}, {"codes": 20, "vectors_size": 96}),
    (RPGConfig, {"vectors": "words", "vectors_size": 30, "codes": 64}, {"codes": 30, "vectors_size": 64}),
    (RPGConfig, {"vectors_file": "own.npz", "vectors_size": 24}, {"codes": 12, "vectors_size": 32}),
])  # fmt: skip
def test_dimensions_without_equal_slices_are_refused_with_values_that_fit(config, changes, said):
    fit = " or ".join(f"{name}={value}" for name, value in said.items())
    with pytest.raises(ValidationError, match=f"no .* equal slices: choose {fit}"):
        config(**changes)
    for name, value in said.items():
        config(**{**changes, name: value})


def test_rq_vae_tells_planted_clusters_apart():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(12), 10)
    given = (rng.normal(0, 3, (12, 16))[labels] + rng.normal(0, 0.05, (120, 16))).astype(np.float32)
    found = rq_vae(given, 2, 8, seed=0)
    groups = np.unique(found, axis=0, return_inverse=True)[1].reshape(-1)
    together = groups[:, None] == groups
    same = labels[:, None] == labels
    assert together[same].mean() > 0.8
    assert together[~same].mean() < 0.05
    assert len(np.unique(found[:, 0])) >= 6  # of 8: it has not collapsed


def test_fewer_different_vectors_than_values_leave_values_unused():
    given = np.repeat(np.eye(3, dtype=np.float32), 2, axis=0)
    found = residual_k_means(given, 2, 256, seed=0)
    assert same_partition(found[:, 0], np.repeat(np.arange(3), 2))
    assert not found[:, 1].any()


def test_facts_by_hand():
    codes = np.array([[0, 1], [0, 1], [1, 1], [2, 1]], np.int32)
    found = describe(codes, 4)
    assert found["levels"] == [{"used": 3, "entropy": 1.5}, {"used": 1, "entropy": 0.0}]
    assert (found["shared"], found["crowd"], found["values"]) == (0.5, 2, 4)
    assert as_lines(found)[-1] == "codes: 50.00% of items share all codes with another, at most 2 the same"


def test_numbers_make_codes_unique():
    codes = np.array([[1, 1], [0, 1], [1, 1], [1, 1]], np.int32)
    assert numbered(codes, 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 1, 1], [1, 1, 2]]
    assert numbered(codes, 2).tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 1, 0, 1], [1, 1, 1, 0]]
    assert numbered(codes[:0], 2).shape == (0, 3)
    crowd = numbered(np.zeros((100, 1), np.int32), 3)
    assert (crowd[:, 1:] @ 3 ** np.arange(4, -1, -1)).tolist() == list(range(100))


def test_vectors_of_no_dimension_are_zero():
    assert vectors.principal(np.zeros((5, 0), np.float32), 3, whiten=True).tolist() == [[0, 0, 0]] * 5


def test_one_code_begins_at_the_mean_of_its_items():
    found = tables(np.array([[0], [0], [2]], np.int32), np.array([[1, 0], [3, 0], [0, 4]], np.float32), 3)[0]
    np.testing.assert_allclose(found / found[0, 0], [[1, 0], [0, 0], [0, 2]])
    assert np.square(found).sum(axis=1).mean() == pytest.approx(1)


def test_several_codes_begin_near_least_squares():
    rng = np.random.default_rng(0)
    codes, given = rng.integers(0, 4, (300, 3)).astype(np.int32), rng.normal(size=(300, 5)).astype(np.float32)
    found = tables(codes, given, 4)
    sums = sum(found[level][codes[:, level]] for level in range(3))
    scale = (sums * given).sum() / (sums * sums).sum()
    assert np.square(given - scale * sums).mean() < 1.001 * left_over(given, codes, 4)


@pytest.mark.parametrize("whiten", [False, True])
def test_principal_dimensions_are_those_of_sklearn(whiten):
    given = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * np.arange(1, 7)
    found = vectors.principal(given.astype(np.float32), 4, whiten)
    expected = PCA(4, whiten=whiten).fit_transform(given)
    np.testing.assert_allclose(np.abs(found), np.abs(expected) * (np.sqrt(50 / 49) if whiten else 1), atol=1e-3)


def test_more_dimensions_than_there_are_become_zero():
    found = vectors.principal(np.eye(3, dtype=np.float32), 5, True)
    assert found.shape == (3, 5)
    assert not found[:, 2:].any()


IDS = ["a", "b", "c"]
KNOWN = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0], [9.0, 9.0]])


@pytest.mark.parametrize("form", ["npz", "parquet"])
def test_vectors_of_a_file_are_found_by_original_ids(tmp_path, form):
    path, ids = tmp_path / f"vectors.{form}", ["c", "a", "b", "of another data set"]
    if form == "npz":
        np.savez(path, ids=np.array(ids), vectors=KNOWN)
    else:
        pd.DataFrame({"id": ids, "x": KNOWN[:, 0], "y": KNOWN[:, 1]}).to_parquet(path)
    np.testing.assert_array_equal(vectors.from_file(str(path), IDS), KNOWN[[1, 2, 0]])


def test_an_id_that_a_file_has_twice_is_refused(tmp_path):
    path = str(tmp_path / "vectors.npz")
    np.savez(path, ids=np.array(["a", "c", "b", "c", "a"]), vectors=np.eye(5))
    with pytest.raises(DataError, match="has a more than once"):
        vectors.from_file(path, IDS)


def test_bad_files_say_what_is_wrong(tmp_path):
    path = str(tmp_path / "vectors.npz")
    with pytest.raises(DataError, match=r"there is no vectors file .*: give \.npz with 'ids' and 'vectors'"):
        vectors.from_file(path, IDS)
    (tmp_path / "vectors.npz").write_text("ids,vectors")
    with pytest.raises(DataError, match=r"cannot be used: .*it is \.npz with 'ids' and 'vectors'"):
        vectors.from_file(path, IDS)
    np.savez(path, ids=np.array(["a"]), vectors=KNOWN[:1])
    with pytest.raises(DataError, match="lacks 2 of 3 items, such as b"):
        vectors.from_file(path, IDS)
    np.savez(path, ids=np.array(IDS), vectors=np.full((3, 2), np.nan))
    with pytest.raises(DataError, match="3 rows with values that are not finite"):
        vectors.from_file(path, IDS)
    np.savez(path, ids=np.array(IDS), vectors=KNOWN)
    with pytest.raises(DataError, match=r"float64 of shape \(4, 2\), not numbers of \(3, d\)"):
        vectors.from_file(path, IDS)
