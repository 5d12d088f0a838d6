"""LightGCN against its formulas written out with dense matrices and loops; vectors from files and texts."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
from bench_colarec.items import lightgcn as module
from bench_colarec.items.lightgcn import Pairs, lightgcn
from bench_colarec.items.vectors import from_file, text_vectors
from bench_torchkit.testing import dense_adjacency

from bench import BenchError, Validation, rank
from bench.testing import LocalContext, MemorySplit, block_interactions, interactions_from

ROWS = [[0, 1, 2], [2, 3], [], [1, 3, 4, 0, 2], [4]]
TINY = interactions_from(ROWS, 6)  # user 2 and item 5 have no interactions


class Scorer:
    """The model around a LightGCN."""

    def publish(self, found):
        self.found = found

    def recommend(self, users, history, exclude, k):
        return rank(lambda rows: self.found.users[users[rows]] @ self.found.items.T, exclude, k)


class Script:
    """A context whose validations are written down beforehand."""

    def __init__(self, answers):
        self.seed, self.device = 1, "cpu"
        self.answers = iter(answers)
        self.asked = 0

    def epochs(self, most, unit="epoch", stage="", done=0):
        yield from range(1, most + 1)

    def validate(self):
        self.asked += 1
        return next(self.answers)

    def progress(self, done, total, unit):
        self.told = (done, total, unit)


def trained(folder, seed=1, **options):
    """A LightGCN of the synthetic data, and its validation scores."""
    data, model = block_interactions(), Scorer()
    context = LocalContext(model, data, folder, seed)
    options = {"size": 16, "batch_size": 128, "passes": 30, "publish": model.publish, **options}
    return lightgcn(data.train, context, **options), context.scores


def test_loss_and_gradient_equal_those_of_the_formulas_written_out():
    ego = torch.randn(11, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    triples = torch.tensor([[0, 1, 3, 3, 0], [5, 7, 6, 9, 5], [8, 10, 10, 10, 9]])
    matrix = module.as_tensor(module.normalized_adjacency(TINY).astype(np.float64), "cpu")

    ours = ego.clone().requires_grad_()
    out = module.propagate(ours, matrix, 3)
    loss = module.bpr(*(out[nodes] for nodes in triples)) + 0.3 * module.penalty(ours, triples.flatten())
    loss.backward()

    theirs = ego.clone().requires_grad_()
    a = torch.from_numpy(dense_adjacency(TINY))
    e = (theirs + a @ theirs + a @ a @ theirs + a @ a @ a @ theirs) / 4
    expected = 0
    for u, i, j in triples.T.tolist():
        expected = expected - torch.log(torch.sigmoid(e[u] @ e[i] - e[u] @ e[j])) / 5
        expected = expected + 0.3 * 0.5 * sum((theirs[node] ** 2).sum() for node in (u, i, j)) / 5
    expected.backward()

    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_allclose(ours.grad, theirs.grad, atol=1e-7)


def test_each_interaction_is_a_positive_as_often_as_asked():
    pairs = Pairs(TINY, 3, np.random.default_rng(0))
    expected = Counter({(user, 5 + item): 3 for user, row in enumerate(ROWS) for item in row})
    for _ in range(2):
        batches = list(pairs.batches(8))
        assert [len(users) for users, _, _ in batches] == [8, 8, 8, 8, 1]
        assert Counter((u, i) for users, items, _ in batches for u, i in zip(users, items, strict=True)) == expected


def test_users_who_have_everything_are_left_out_of_the_pairs():
    train = interactions_from([[0, 1, 2], [1], [2, 0]], 3)
    found = [row for batch in Pairs(train, 1, np.random.default_rng(0)).batches(2) for row in zip(*batch, strict=True)]
    assert {int(user) for user, _, _ in found} == {1, 2}
    assert {int(negative) for user, _, negative in found if user == 2} == {3 + 1}


def test_initial_values_are_singular_vectors_with_rows_of_one_length():
    rng = np.random.default_rng(0)
    matrix = rng.random((9, 7)) * (rng.random((9, 7)) < 0.6)
    matrix[4] = 0
    found = module.singular_vectors(scipy.sparse.csr_array(matrix), 3, rng)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    expected = np.concatenate([left[:, :3], right[:3].T]) * np.sqrt(values[:3])
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-9)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-7)  # signs and order do not matter
    assert not found[4].any()


@pytest.mark.parametrize("init", ["svd", "random"])
def test_it_learns_the_blocks(tmp_path, init):
    found, scores = trained(tmp_path, init=init)
    assert found.users.shape == (60, 16)
    assert found.items.shape == (48, 16)
    assert found.items.dtype == np.float32
    assert max(scores) > 0.4  # lists at random have .1, lists of the user's own block .6
    likeness = np.corrcoef(found.items)
    own = np.arange(48)[:, None] % 4 == np.arange(48) % 4
    np.fill_diagonal(likeness, np.nan)
    assert np.nanmean(likeness[own]) > np.nanmean(likeness[~own]) + 0.3


@pytest.mark.parametrize("init", ["svd", "random"])
def test_the_seed_is_the_only_randomness(tmp_path, init):
    first, second, other = (trained(tmp_path, seed, init=init, passes=3)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.items, second.items)
    np.testing.assert_array_equal(first.users, second.users)
    assert (first.items != other.items).any()


@pytest.mark.parametrize("size", [1, 47, 200])
def test_more_dimensions_than_data(tmp_path, size):
    found, _ = trained(tmp_path, size=size, passes=2)
    assert found.items.shape == (48, size)
    assert np.isfinite(found.items).all()


def test_looks_are_a_fifth_further_apart_each_and_end_with_the_last_pass():
    assert module.looks(1) == [1]
    assert module.looks(30) == [*range(1, 11), 12, 14, 16, 19, 22, 26, 30]
    found = np.array(module.looks(10_000))
    assert found[-1] == 10_000
    assert (found[21:-1] / found[20:-2]).min() > 1.15
    assert (found[21:] / found[20:-1]).max() <= 1.2


def test_vectors_of_the_best_validation_are_returned_and_published_before_it():
    published = []
    not_due, better, worse = Validation(None, False, False), Validation(0.2, True, False), Validation(0.1, False, False)
    context = Script([not_due, better, not_due, better, worse, worse._replace(stop=True)])
    found = lightgcn(TINY, context, publish=published.append, size=3, passes=50)
    assert context.asked == len(published) == 6
    assert context.told == (6, 50, "pass")
    assert found is published[3]
    assert len({vectors.items.tobytes() for vectors in published}) == 6


def test_without_validation_the_last_vectors_are_returned():
    published = []
    found = lightgcn(TINY, Script([Validation(None, False, False)] * 4), publish=published.append, size=3, passes=4)
    assert found is published[-1]


def test_data_without_a_ranking_to_learn_is_no_error():
    for rows in ([[0, 1], [1, 0]], [[], []]):
        found = lightgcn(
            interactions_from(rows, 2), Script([Validation(None, False, False)]), publish=lambda _: None, passes=1
        )
        assert np.isfinite(found.items).all()


def saved(path: Path, **arrays) -> Path:
    np.savez(path, **arrays)
    return path


def test_vectors_are_read_from_a_file(tmp_path):
    rng = np.random.default_rng(0)
    items, users = rng.normal(size=(6, 3)), rng.normal(size=(5, 3))
    both = from_file(saved(tmp_path / "both.npz", items=items, users=users), 5, 6)
    np.testing.assert_array_equal(both.items, items.astype(np.float32))
    np.testing.assert_array_equal(both.users, users.astype(np.float32))
    alone = from_file(str(saved(tmp_path / "alone.npz", items=items.astype(int))), 5, 6)
    np.testing.assert_array_equal(alone.users, np.zeros((5, 3), np.float32))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"item": np.ones((6, 3))}, "no array 'items'"),
        ({"items": np.ones((7, 3))}, r"'items' of .* is float64 of shape \(7, 3\), not numbers of shape \(6, d\)"),
        ({"items": np.ones(6)}, r"shape \(6,\)"),
        ({"items": np.ones((6, 0))}, r"shape \(6, 0\)"),
        ({"items": np.full((6, 3), "x")}, "not numbers"),
        ({"items": np.full((6, 3), None)}, "cannot be read"),
        ({"items": np.array([[1.0, np.nan]] * 6)}, "6 rows with values that are not finite"),
        ({"items": np.array([[1.0, 1e300]] * 6)}, "not finite"),
        ({"items": np.ones((6, 3)), "users": np.ones((6, 3))}, "'users'"),
        ({"items": np.ones((6, 3)), "users": np.ones((5, 2))}, "2 dimensions for users and 3 for items"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, arrays, message):
    with pytest.raises(BenchError, match=message):
        from_file(saved(tmp_path / "vectors.npz", **arrays), 5, 6)


def test_wrong_files_are_refused(tmp_path):
    whole = saved(tmp_path / "whole.npz", items=np.ones((6, 3))).read_bytes()
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("items")
    (tmp_path / "cut").write_bytes(whole[:100])
    (tmp_path / "flipped").write_bytes(whole.replace(np.ones(3).tobytes(), np.full(3, 2.0).tobytes()))
    np.save(tmp_path / "single.npy", np.ones((6, 3)))
    for name in ("missing", "empty", "text", "cut", "flipped", "single.npy", "."):
        with pytest.raises(BenchError, match="cannot be read as"):
            from_file(tmp_path / name, 5, 6)


TEXTS = ["red leather case", "blue leather case", "usb cable", "usb wall charger cable", "", "!?", "red leather case"]


def test_text_vectors_keep_the_products_of_tf_idf():
    words = sorted({word for text in TEXTS for word in text.split() if word != "!?"})
    count = {word: sum(word in text.split() for text in TEXTS) for word in words}
    weights = np.zeros((len(TEXTS), len(words)))
    for row, text in enumerate(TEXTS):
        for word, n in Counter(text.replace("!?", "").split()).items():
            idf = math.log((1 + len(TEXTS)) / (1 + count[word])) + 1
            weights[row, words.index(word)] = (1 + math.log(n)) * idf
        weights[row] /= max(1e-30, np.linalg.norm(weights[row]))
    found = text_vectors(TEXTS, 64, 1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found @ found.T, weights @ weights.T, atol=1e-5)
    narrow = text_vectors(TEXTS, 2, 1)
    best = np.linalg.svd(weights)[1]
    assert np.square(weights).sum() - np.square(narrow).sum() == pytest.approx(np.square(best[2:]).sum(), abs=1e-5)


def test_text_vectors_are_deterministic_and_zero_without_text():
    found = text_vectors(TEXTS, 3, 1)
    np.testing.assert_array_equal(found, text_vectors(TEXTS, 3, 1))
    assert found.shape == (7, 3)
    assert not found[4:6].any()
    np.testing.assert_allclose(found[0], found[6], atol=1e-6)


@pytest.mark.parametrize("texts", [[], ["", " "], ["..."]])
def test_a_catalogue_without_texts_is_refused(texts):
    with pytest.raises(BenchError, match="no item of this data set has a text"):
        text_vectors(texts, 4, 1)


@pytest.mark.raw
@pytest.mark.slow
def test_the_phone_data_reach_what_long_training_reaches(tmp_path, raw_dir):
    from bench.data.catalog import card
    from bench.data.prepare import prepare
    from bench.data.protocol import protocol
    from bench.data.split import split

    chosen = card("colarec-phone")
    parts = split(prepare(chosen, raw_dir), protocol(chosen.protocol)).visible
    some = MemorySplit(parts.train, parts.valid.where(parts.valid.users % 10 == 0))
    model = Scorer()
    context = LocalContext(model, some, tmp_path)
    lightgcn(parts.train, context, publish=model.publish, passes=8)
    # On test users, RecBole's LightGCN of the same size has .0533 when it has converged.
    assert max(context.scores) > 0.055
