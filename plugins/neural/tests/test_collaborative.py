"""``mf``, ``gcn`` and ``jpq`` as models of the harness: the published checks, what is kept, going on, odd data."""

from typing import ClassVar

import numpy as np
import pytest
import safetensors.numpy
import torch
from bench_neural.collaborative.config import JPQConfig
from pydantic import ValidationError

from bench.plugins import load_model
from bench.testing import Interrupted, LocalContext, MemorySplit, ModelChecks, block_interactions, interactions_from

DATA = block_interactions()
SMALL = {"embedding_size": 8, "batch_size": 64, "negatives": 24, "epochs": 5}
OPTIONS = {"mf": SMALL, "gcn": SMALL, "jpq": {**SMALL, "codes": 4, "code_values": 16}}


class TestMF(ModelChecks):
    name = "mf"
    options: ClassVar = OPTIONS["mf"]


class TestGCN(ModelChecks):
    name = "gcn"
    options: ClassVar = OPTIONS["gcn"]


class TestJPQ(ModelChecks):
    name = "jpq"
    options: ClassVar = OPTIONS["jpq"]


def fit(folder, name, data=DATA, interrupt_after=0, **options):
    """A fitted model and its context."""
    model_class = load_model(name)
    model = model_class(model_class.Config(**{**OPTIONS[name], **options}))
    context = LocalContext(model, data, folder, interrupt_after=interrupt_after)
    try:
        model.fit(data.train, data.valid, context)
    except Interrupted:
        assert interrupt_after
    return model, context


def lists(model, data=DATA, k=10):
    users = np.arange(data.train.n_users)
    return model.recommend(users, data.train, data.train, k)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("options", [{"loss": "bpr"}, {"item_bias": False}, {"popularity": 1.0}, {"negatives": 500}])
def test_every_choice_learns_the_blocks(tmp_path, name, options):
    _, context = fit(tmp_path, name, **{**options, "epochs": 8})
    assert max(context.scores) > 0.3  # lists at random have .1, lists of the user's own block .6


@pytest.mark.parametrize("name", ["mf", "gcn"])
def test_random_vectors_learn_too(tmp_path, name):
    _, context = fit(tmp_path, name, init="random", epochs=15, learning_rate=0.05, l2=0.01)
    assert max(context.scores) > 0.3


@pytest.mark.parametrize("name", ["mf", "gcn"])
def test_an_epoch_has_no_more_than_so_many_steps(tmp_path, monkeypatch, name):
    seen, step = [], torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self, *given: (seen.append(1), step(self, *given))[1])
    fit(tmp_path / "as-given", name, epochs=1, batch_size=64, max_steps=500)
    assert len(seen) == -(-len(DATA.train) // 64) > 3
    seen.clear()
    fit(tmp_path / "three", name, epochs=1, batch_size=64, max_steps=3)
    assert len(seen) == 3


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("after", [1, 3])
def test_an_interrupted_training_goes_on_as_it_would_have_gone(tmp_path, name, after):
    straight, expected = fit(tmp_path / "straight", name)
    fit(tmp_path / "cut", name, interrupt_after=after)
    assert (tmp_path / "cut" / "checkpoints" / "training.pt").is_file()
    torch.manual_seed(12345)  # another process has other random numbers behind it
    model, context = fit(tmp_path / "cut", name)
    assert any("going on from a checkpoint" in message for message in context.messages)
    assert context.scores == expected.scores
    np.testing.assert_array_equal(lists(model).items, lists(straight).items)
    np.testing.assert_array_equal(lists(model).scores, lists(straight).scores)


@pytest.mark.parametrize("name", OPTIONS)
def test_scores_are_products_of_what_is_saved(tmp_path, name):
    model, _ = fit(tmp_path / "work", name)
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    (path,) = (tmp_path / "saved").iterdir()
    kept = safetensors.numpy.load_file(path)
    users = np.array([3, 11, 3])
    found = model.score(users, DATA.train.select(users))
    for row, user in enumerate(users):
        for item in (0, 7, 47):
            if name == "jpq":
                own = [DATA.train.items[DATA.train.indptr[user] : DATA.train.indptr[user + 1]]][0]
                vectors = [_side_by_side(kept["codes"][other], kept["read"]) for other in own]
                left = np.sum(vectors, axis=0) / len(own) ** 0.5
                right = _side_by_side(kept["codes"][item], kept["scored"])
            else:
                left, right = kept["users"][user], kept["items"][item]
            assert found[row, item] == pytest.approx(left @ right + kept["bias"][item], rel=1e-4, abs=1e-5)


def _side_by_side(codes, table):
    return np.concatenate([table[place, code] for place, code in enumerate(codes)])


@pytest.mark.parametrize("name", ["mf", "gcn"])
def test_a_user_of_whom_nothing_is_known_is_an_average_one(tmp_path, name):
    model, _ = fit(tmp_path, name)
    everyone = np.arange(60)
    scores = model.score(everyone, DATA.train)
    np.testing.assert_allclose(scores[59], scores[:59].mean(axis=0), atol=1e-4)  # the last one has no train row


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("rows", [[[], []], [[0], []], [[0, 1, 2], [2]]])
def test_little_data_is_no_error(tmp_path, name, rows):
    data = MemorySplit(interactions_from(rows, 3), interactions_from([[], [1]], 3))
    model, _ = fit(tmp_path, name, data)
    found = lists(model, data, k=3)
    assert [int((row >= 0).sum()) for row in found.items] == [3 - len(row) for row in rows]


def test_what_is_noted(tmp_path):
    _, mf = fit(tmp_path / "mf", "mf")
    _, gcn = fit(tmp_path / "gcn", "gcn")
    assert mf.facts["parameters"] == gcn.facts["parameters"] == (60 + 48) * 8 + 48
    _, jpq = fit(tmp_path / "jpq", "jpq")
    assert jpq.facts["parameters"] == 2 * 16 * 8 + 48
    assert jpq.facts["compression"] == pytest.approx(48 / 16)


def test_codes_have_to_divide_the_vector():
    with pytest.raises(ValidationError, match="embedding_size 30 is no multiple of codes 4"):
        JPQConfig(embedding_size=30, codes=4)
