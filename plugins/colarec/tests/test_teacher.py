"""The teacher as a model of its own, and a generator that it taught."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from bench_classic.ease import EASE
from bench_colarec.config import PRESETS, TeacherConfig
from bench_colarec.model import ColaRec
from bench_colarec.teacher import Teacher, standardized
from scipy.stats import zscore

from bench.messages.cell import Stopping
from bench.testing import LocalContext, MemorySplit, ModelChecks, block_interactions, interactions_from

DATA = block_interactions()
NOTHING = interactions_from([[]] * 60, 48)


class TestTeacher(ModelChecks):
    name = "colarec-teacher"
    options: ClassVar = {"vectors_size": 8}


def taught(folder, data=DATA, **options):
    """A generator of the preset, made small, and the soft targets that its training drew from."""
    small = {
        "embedding_size": 16,
        "layers": 1,
        "heads": 2,
        "feed_forward": 16,
        "batch_size": 32,
        "epochs": 1,
        "epoch_samples": 1,
    }
    model = ColaRec(ColaRec.Config(**{**PRESETS["distilled"], **small, "teacher_items": 20, **options}))
    kept = []
    model._taught = lambda *given: kept.append(ColaRec._taught(model, *given)) or kept[0]
    context = LocalContext(model, data, folder, stopping=Stopping(every=1000))  # it never validates
    model.fit(data.train, data.valid, context)
    return model, kept[0]


def test_rows_are_standardized_and_constant_ones_are_zero():
    scores = np.random.default_rng(0).normal(3, 7, (4, 30)).astype(np.float32)
    scores[2] = 5
    found = standardized(scores.copy())
    np.testing.assert_allclose(found[[0, 1, 3]], zscore(scores[[0, 1, 3]].astype(float), axis=1), atol=1e-5)
    assert not found[2].any()


@pytest.mark.parametrize("weight", [0.0, 0.25])
def test_scores_are_the_sum_of_two_models(tmp_path, weight):
    teacher = Teacher(TeacherConfig(vectors_size=8, ease_weight=weight, ease_l2=3.0))
    teacher.fit(DATA.train, DATA.valid, LocalContext(teacher, DATA, tmp_path))
    ease = EASE(EASE.Config(l2=3.0))
    ease.fit(DATA.train, DATA.valid, LocalContext(ease, DATA, tmp_path / "ease"))
    users = np.array([5, 0])
    history = DATA.train.select(users)
    expected = zscore(teacher.users[users] @ teacher.items.T, axis=1)
    if weight:
        expected = expected + weight * zscore(ease.score(users, history), axis=1)
    np.testing.assert_allclose(teacher.score(users, history), expected, atol=1e-4)


def test_targets_are_the_best_that_train_does_not_have_and_know_nothing_of_validation(tmp_path):
    _, soft = taught(tmp_path / "one")
    seen = set(zip(DATA.train.users.tolist(), DATA.train.items.tolist(), strict=True))
    for user, row in enumerate(soft.items.tolist()):
        assert not any((user, item) in seen for item in row)
    assert soft.users.tolist() == list(range(59))  # the last one has no history
    # Vectors stop by validation; given them, other validation items change no target.
    np.savez(tmp_path / "vectors.npz", users=np.eye(60, 8), items=np.random.default_rng(0).normal(size=(48, 8)))
    others = MemorySplit(DATA.train, interactions_from([[user % 48] for user in range(60)], 48))
    vectors_file = str(tmp_path / "vectors.npz")
    (_, one), (_, other) = (
        taught(tmp_path / f"{i}", data, vectors_file=vectors_file) for i, data in enumerate((DATA, others))
    )
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.cumulative, other.cumulative)


@pytest.mark.slow
def test_the_generator_comes_to_have_the_distribution_of_its_teacher(tmp_path):
    distances = []
    for epochs in (1, 200):
        model, soft = taught(tmp_path / f"{epochs}", epochs=epochs, learning_rate=0.01, teacher_spread=4.0)
        with torch.inference_mode():
            likely = np.exp(model._ranker.scores(DATA.train.select(soft.users)))
        wanted = np.zeros_like(likely)
        share = np.diff(soft.cumulative[soft.users], prepend=0, axis=1)
        np.put_along_axis(wanted, soft.items[soft.users].astype(np.int64), share.astype(np.float32), axis=1)
        distances.append(np.abs(likely - wanted).sum(axis=1).mean() / 2)  # total variation
    assert distances[0] > 0.5
    assert distances[1] < 0.25
