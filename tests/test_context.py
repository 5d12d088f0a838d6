"""What ``fit`` is handed: one stopping rule for all, and a time budget that is kept."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest

from bench.contract import Recommendations
from bench.data.dataset import VisibleSplit, save_interactions
from bench.runs import context as contexts
from bench.runs.cell import Stopping
from bench.runs.context import WorkerContext
from bench.testing import block_interactions, interactions_from

DATA = block_interactions(n_users=40)


class Scripted:
    """Recommends, at each validation, the validation items of a given share of the users."""

    def __init__(self, shares=(), valid=DATA.valid):
        self.shares = list(shares)
        self.valid = valid
        self.asked = []

    def recommend(self, users, history, exclude, k):
        self.asked.append((users, history, exclude, k))
        items = np.full((len(users), k), -1, np.int32)
        good = round(self.shares.pop(0) * len(users)) if self.shares else 0
        for row, user in enumerate(users[:good]):
            found = self.valid.select(np.array([user])).items[:k]
            items[row, : len(found)] = found
        return Recommendations(items, np.zeros(items.shape, np.float32))


def on_disk(folder, data, candidates):
    """The split that a worker would be given."""
    for name in ("train", "valid"):
        save_interactions(Path(folder), name, getattr(data, name))
    facts = {"users": data.train.n_users, "items": data.train.n_items, "parts": ["train", "valid"]}
    (Path(folder) / "facts.json").write_text(json.dumps({**facts, "candidates": candidates}))
    return VisibleSplit(Path(folder))


@pytest.fixture
def make(tmp_path):
    def make(model, data=DATA, budget=None, seed=1, candidates="all", **stopping):
        events = []
        split = on_disk(tempfile.mkdtemp(dir=tmp_path), data, candidates)
        context = WorkerContext(
            model, split, lambda event, **fields: events.append({"event": event, **fields}), seed=seed, device="cpu",
            folder=tmp_path, stopping=Stopping(**stopping), time_budget=budget,
        )  # fmt: skip
        return context, events

    return make


def train(context, most=100):
    """A training loop as an author writes it: (epochs done, what validation said)."""
    said = []
    for _ in context.epochs(most):
        said.append(context.validate())
        if said[-1].stop:
            break
    return said


def test_score_is_the_stopping_metric_over_users_with_validation_items(make):
    context, _ = make(Scripted([1.0, 0.5, 0.0]))
    scores = [validation.score for validation in train(context, 3)]
    n = np.count_nonzero(DATA.valid.lengths)
    assert scores == pytest.approx([1.0, round(0.5 * n) / n, 0.0])


def test_model_is_asked_with_train_alone(make):
    model = Scripted([1.0])
    train(make(model)[0], 1)
    [(users, history, exclude, k)] = model.asked
    np.testing.assert_array_equal(users, np.flatnonzero(DATA.valid.lengths))
    for given in (history, exclude):
        np.testing.assert_array_equal(given.items, DATA.train.select(users).items)
    assert k == 10


def test_items_that_are_not_ranked_are_excluded_at_validation_too(make):
    model = Scripted([1.0])
    few = DATA.train.where(DATA.train.items < 40)  # items 40 to 47 are not seen in train
    train(make(model, data=DATA._replace(train=few), candidates="train")[0], 1)
    [(users, history, exclude, _)] = model.asked
    assert not np.isin(history.items, np.arange(40, 48)).any()
    for row, user in enumerate(users):
        own = few.select(np.array([user])).items.tolist()
        assert sorted(exclude.items[exclude.indptr[row] : exclude.indptr[row + 1]]) == sorted([*own, *range(40, 48)])


def test_training_stops_when_patience_is_over(make):
    context, events = make(Scripted([0.2, 0.5, 0.5, 0.4, 0.3, 0.9]), patience=3)
    said = train(context)
    assert [validation.improved for validation in said] == [True, True, False, False, False]
    assert [validation.stop for validation in said] == [False] * 4 + [True]
    told = [event for event in events if event["event"] == "validation"]
    assert [event["epoch"] for event in told] == [1, 2, 3, 4, 5]
    assert {event["metric"] for event in told} == {"ndcg@10"}


def test_better_score_renews_patience(make):
    context, _ = make(Scripted([0.1, 0.0, 0.2, 0.0, 0.3, 0.0, 0.0]), patience=2)
    assert len(train(context)) == 7


def test_interval_is_the_core_s(make):
    context, _ = make(Scripted([0.1, 0.2]), every=3)
    said = train(context, 7)
    assert [validation.score is not None for validation in said] == [False, False, True, False, False, True, False]


@pytest.mark.parametrize("metric", ["recall", "mrr"])
def test_another_metric_can_be_the_stopping_metric(make, metric):
    context, events = make(Scripted([1.0]), metric=metric, k=5)
    assert train(context, 1)[0].score == pytest.approx(1.0)
    assert events[0]["metric"] == f"{metric}@5"


def test_sample_of_users_is_the_same_for_all_models_and_seeds(make):
    models = [Scripted(), Scripted()]
    for seed, model in enumerate(models):
        train(make(model, users=7, seed=seed)[0], 2)
    samples = [users.tolist() for model in models for users, *_ in model.asked]
    assert len(samples) == 4
    assert all(sample == samples[0] for sample in samples)
    assert len(set(samples[0])) == 7
    assert (DATA.valid.lengths[samples[0]] > 0).all()
    assert samples[0] != np.flatnonzero(DATA.valid.lengths)[:7].tolist()


def test_data_without_validation_items_never_stops(make):
    data = DATA._replace(valid=interactions_from([[]] * 40, DATA.train.n_items))
    context, events = make(Scripted(), data=data)
    assert {validation.stop for validation in train(context, 20)} == {False}
    assert all(event["event"] == "progress" for event in events)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.mark.parametrize(
    ("budget", "done"),
    [(None, 10), (1000.0, 10), (100.0, 10), (99.0, 9), (35.0, 3), (30.0, 3), (29.0, 2), (1.0, 1)],
)
def test_training_ends_before_an_epoch_that_would_not_end_in_time(make, monkeypatch, budget, done):
    clock = Clock()
    monkeypatch.setattr(contexts.time, "monotonic", clock.monotonic)
    context, _ = make(Scripted(), budget=budget)
    epochs = []
    for epoch in context.epochs(10):
        epochs.append(epoch)
        clock.now += 10
    assert epochs == list(range(1, done + 1))
    assert context.stopped_by_budget == (done < 10)


def test_epochs_report_progress(make):
    context, events = make(Scripted())
    assert list(context.epochs(3, unit="step")) == [1, 2, 3]
    assert events == [{"event": "progress", "done": done, "total": 3, "unit": "step"} for done in (1, 2, 3)]


def test_notes_and_logs_are_kept(make, capsys):
    context, _ = make(Scripted())
    context.note("parameters", 12)
    context.log("one line")
    assert context.facts == {"parameters": 12}
    assert capsys.readouterr().out == "one line\n"
