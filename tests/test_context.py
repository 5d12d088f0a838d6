"""What ``fit`` is handed: one stopping rule for all, and a time budget that is kept."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest

from bench.data.protocol import PROTOCOLS
from bench.data.visible import VisibleSplit
from bench.interactions import Recommendations, save_interactions
from bench.messages.cell import Floor
from bench.messages.spec import Stopping
from bench.testing import Interrupted, LocalContext, MemorySplit, block_interactions, interactions_from
from bench.worker import context as contexts
from bench.worker.context import WorkerContext
from bench.worker.kept import KeptArrays
from bench.worker.seconds import Seconds

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
    facts = {
        "dataset": "made",
        "fingerprint": "f",
        "content": "c",
        "texts_hash": "t",
        "users": data.train.n_users,
        "items": data.train.n_items,
        "parts": ["train", "valid"],
    }
    (Path(folder) / "facts.json").write_text(json.dumps({**facts, "candidates": candidates}))
    return VisibleSplit(Path(folder))


@pytest.fixture
def make(tmp_path):
    def make(
        model, data=DATA, budget=None, seed=1, candidates="all", exclude="train+valid", record=None, floors=(),
        kept=None, **stopping,
    ):  # fmt: skip
        events = []
        split = on_disk(tempfile.mkdtemp(dir=tmp_path), data, candidates)
        context = WorkerContext(
            model, split, lambda event: events.append(event.model_dump()), seed=seed, folder=tmp_path,
            protocol=PROTOCOLS["loo"].model_copy(update={"exclude": exclude}),
            stopping=Stopping(**stopping), time_budget=budget, epoch_log=record, floors=floors, split_arrays=kept,
        )  # fmt: skip
        return context, events

    return make


def train(context, most=100, stage=""):
    """A training loop as an author writes it: what validation said."""
    said = []
    for _ in context.epochs(most, stage=stage):
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
    train(make(model, data=MemorySplit(few, DATA.valid), candidates="train")[0], 1)
    [(users, history, exclude, _)] = model.asked
    assert not np.isin(history.items, np.arange(40, 48)).any()
    for row, user in enumerate(users):
        own = few.select(np.array([user])).items.tolist()
        assert sorted(exclude.items[exclude.indptr[row] : exclude.indptr[row + 1]]) == sorted([*own, *range(40, 48)])


@pytest.mark.parametrize(("candidates", "left_out"), [("all", []), ("train", [*range(40, 48)])])
def test_nothing_but_what_is_not_ranked_is_excluded_at_validation_if_the_protocol_excludes_nothing(
    make, candidates, left_out
):
    model = Scripted([1.0])
    few = DATA.train.where(DATA.train.items < 40)
    train(make(model, data=MemorySplit(few, DATA.valid), candidates=candidates, exclude="none")[0], 1)
    [(users, history, exclude, _)] = model.asked
    np.testing.assert_array_equal(history.items, few.select(users).items)
    rows = np.split(exclude.items, exclude.indptr[1:-1])
    assert [row.tolist() for row in rows] == [left_out] * len(users)


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


def test_training_ends_below_the_floor_of_its_stage(make):
    floor = Floor(stage="lists", epoch=2, score=0.4)
    context, _ = make(Scripted([0.1, 0.1, 0.1, 0.5, 0.1]), floors=[floor])
    assert len(train(context, most=3, stage="vectors")) == 3
    assert [said.stop for said in train(context, most=2, stage="lists")] == [False, False]
    context, _ = make(Scripted([0.3, 0.2, 0.9]), floors=[floor])
    assert [said.stop for said in train(context, most=3, stage="lists")] == [False, True]


def test_what_the_floor_of_a_stage_cut_short_is_not_kept(make, tmp_path):
    """A config that is trained again without floors would take it for the whole."""
    floor, made = Floor(stage="lists", epoch=1, score=0.9), []
    for floors in ([floor], [], []):
        context, _ = make(Scripted([0.1, 0.2]), floors=floors, kept=KeptArrays(tmp_path, tmp_path))
        found = context.cached("lists", {}, lambda: {"epochs": np.array([len(train(context, 2, "lists"))])})  # noqa: B023
        made.append(int(found["epochs"][0]))
    assert made == [1, 2, 2]


SCORES = ([0.2, 0.9, 0.5, 0.5], [0.1, 0.3, 0.2, 0.1])
"""Of two stages that end by a patience of 2; the second one is worse throughout."""


def test_each_stage_has_a_best_score_and_patience_of_its_own(make):
    context, events = make(Scripted([*SCORES[0], *SCORES[1]]), patience=2)
    for stage in ("vectors", "lists"):
        said = train(context, stage=stage)
        assert [validation.improved for validation in said] == [True, True, False, False]
        assert [validation.stop for validation in said] == [False, False, False, True]
    told = [(event["stage"], event["epoch"]) for event in events if event["event"] == "validation"]
    assert told == [(stage, epoch) for stage in ("vectors", "lists") for epoch in (1, 2, 3, 4)]
    assert {event["unit"] for event in events if event["event"] == "progress"} == {"vectors epoch", "lists epoch"}


def test_stages_have_names_of_their_own(make):
    context, _ = make(Scripted())
    context.epochs(2, stage="vectors")
    context.epochs(2)
    for stage in ("vectors", ""):
        with pytest.raises(ValueError, match=f"a stage '{stage}' before"):
            context.epochs(2, stage=stage)


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
    data = MemorySplit(DATA.train, interactions_from([[]] * 40, DATA.train.n_items))
    context, events = make(Scripted(), data=data)
    assert {validation.stop for validation in train(context, 20)} == {False}
    assert all(event["event"] == "progress" for event in events)


@pytest.mark.parametrize(
    ("budget", "done"),
    [(None, 10), (1000.0, 10), (100.0, 10), (99.0, 9), (35.0, 3), (30.0, 3), (29.0, 2), (1.0, 1)],
)
def test_training_ends_before_an_epoch_that_would_not_end_in_time(make, clock, budget, done):
    context, _ = make(Scripted(), budget=budget)
    epochs = []
    for epoch in context.epochs(10):
        epochs.append(epoch)
        clock.now += 10
    assert epochs == list(range(1, done + 1))
    assert context.stopped_by_budget == (done < 10)


@pytest.mark.parametrize(
    ("budget", "done"),
    # 5 s of preparation, epochs of 10 s, 3 s between the stages, epochs of 20 s
    [(None, (4, 4)), (200, (4, 4)), (128, (4, 4)), (127, (4, 3)), (88, (4, 2)), (87, (4, 1)), (45, (4, 1)),
     (44, (3, 1)), (1, (1, 1))],
)  # fmt: skip
def test_budget_is_one_for_all_stages(make, clock, budget, done):
    context, _ = make(Scripted(), budget=budget)
    found = []
    for stage, preparation, duration in (("a", 5, 10), ("b", 3, 20)):
        clock.now += preparation
        found.append(0)
        for _ in context.epochs(4, stage=stage):
            found[-1] += 1
            clock.now += duration
    assert tuple(found) == done
    assert context.stopped_by_budget == (done != (4, 4))


def test_attempt_that_goes_on_is_judged_as_if_there_had_been_no_interruption(make, tmp_path):
    """Killed behind the sixth epoch of the second stage; the patience of 4 began behind the third."""
    scores = [0.9, 0.8, 0.1, 0.3, 0.5, 0.4, 0.5, 0.2, 0.1]
    whole, events = make(Scripted(scores), patience=4)
    for most, stage in ((2, "a"), (100, "b")):
        train(whole, most, stage)
    first, _ = make(Scripted(scores), patience=4, record=tmp_path / "epochs.jsonl")
    for most, stage in ((2, "a"), (6, "b")):
        train(first, most, stage)
    with (tmp_path / "epochs.jsonl").open("a") as file:
        file.write('{"stage": "b", "epo')  # what a kill leaves
    second, again = make(Scripted(scores[8:]), patience=4, record=tmp_path / "epochs.jsonl")
    assert list(second.epochs(2, stage="a", done=2)) == []
    found = []
    for epoch in second.epochs(100, stage="b", done=6):
        found.append((epoch, second.validate()))
        if found[-1][1].stop:
            break
    assert [(epoch, said.improved, said.stop) for epoch, said in found] == [(7, False, True)]
    told = [[event for event in some if event["event"] == "validation"] for some in (events, again)]
    assert told[0] == told[1]


def test_attempt_that_starts_anew_is_judged_anew(make, tmp_path):
    record = tmp_path / "epochs.jsonl"
    train(make(Scripted([0.9, 0.8]), record=record)[0], 2)
    second, _ = make(Scripted([0.1, 0.2]), record=record)
    assert [said.improved for said in train(second, 2)] == [True, True]
    assert second.resumed == Seconds()
    third, events = make(Scripted([0.3]), record=record)
    assert [third.validate().improved for _ in third.epochs(3, done=2)] == [True]
    assert [event["score"] for event in events if event["event"] == "validation"] == pytest.approx(
        [0.1, 0.2, 0.3], abs=0.02
    )


@pytest.mark.parametrize(("budget", "done"), [(None, 10), (100, 10), (99, 9), (71, 7), (70, 7), (69, 6), (1, 6)])
def test_time_of_the_attempt_before_counts_for_who_goes_on(make, clock, tmp_path, budget, done):
    """Five epochs of 10 s then, and the rest now; an epoch that is begun is ended."""
    record = tmp_path / "epochs.jsonl"
    first, _ = make(Scripted(), record=record)
    for _ in first.epochs(5):
        clock.now += 10
    clock.now += 1000  # nobody works
    second, _ = make(Scripted(), budget=budget, record=record)
    epochs = []
    for epoch in second.epochs(10, done=5):
        epochs.append(epoch)
        clock.now += 10
    assert epochs == list(range(6, done + 1))
    assert second.resumed == Seconds(150, 50)


def test_context_of_the_published_checks_is_the_worker_s_and_can_be_interrupted(tmp_path):
    scores = [0.9, 0.2, 0.5, 0.3, 0.6]
    first = LocalContext(Scripted(scores), DATA, tmp_path, interrupt_after=3)
    train(first, 2, "a")
    with pytest.raises(Interrupted):
        train(first, 9, "b")
    second = LocalContext(Scripted(scores[3:]), DATA, tmp_path)
    assert list(second.epochs(2, stage="a", done=2)) == []
    said = [(epoch, second.validate().improved) for epoch in second.epochs(3, stage="b", done=1)]
    assert said == [(2, False), (3, True)]
    assert second.scores == pytest.approx(scores, abs=0.02)


def test_epochs_report_progress(make):
    context, events = make(Scripted())
    assert list(context.epochs(3, unit="step")) == [1, 2, 3]
    assert events == [{"event": "progress", "done": done, "total": 3, "unit": "step"} for done in (1, 2, 3)]


def test_notes_and_logs_are_kept(make, capsys):
    context, _ = make(Scripted())
    context.note("parameters", 12)
    context.log("one line")
    context.note("of numpy", {"n": np.int64(30), "shape": np.array([1, 2])})
    assert context.facts == {"parameters": 12, "of numpy": {"n": 30, "shape": [1, 2]}}
    assert capsys.readouterr().out == "one line\n"


@pytest.mark.parametrize("value", [np.float32("nan"), {1, 2}, float("nan"), [float("inf")], "\ud800", {"a": object()}])
def test_note_that_is_no_json_is_refused_at_once(make, value):
    context, _ = make(Scripted())
    with pytest.raises(TypeError, match="the fact 'odd' is not JSON-ready"):
        context.note("odd", value)
    assert context.facts == {}


def test_progress_of_many_steps_is_told_now_and_then(make, monkeypatch, clock):
    monkeypatch.setattr(contexts.time, "monotonic", lambda: clock.now)
    context, events = make(Scripted())
    for step in range(1, 1001):
        clock.now += 0.02
        context.progress(step, 1000, "step")
    assert [event["done"] for event in events[:3]] == [1, 4, 7]
    assert events[-1]["done"] == 1000
    assert len(events) == pytest.approx(334, abs=2)


@pytest.mark.parametrize("wrong", ["twice", "unknown"])
def test_what_breaks_the_contract_is_a_miss_at_validation_too(make, wrong):
    class Wrong(Scripted):
        def recommend(self, users, history, exclude, k):
            items = np.full((len(users), k), -1, np.int32)
            hits = np.array([self.valid.select(np.array([user])).items[0] for user in users])
            items[:, 0] = hits
            items[:, 1] = hits if wrong == "twice" else DATA.train.n_items + 5
            return Recommendations(items, np.tile(-np.arange(k, dtype=np.float32), (len(users), 1)))

    context, _ = make(Wrong(), metric="recall")
    expected = np.mean([1 / length for length in DATA.valid.lengths if length])
    assert context.score() == pytest.approx(expected)


def test_validation_asks_for_items_that_the_protocol_ranks(make):
    """Of two validation items of the first user one is not in train; that of the second neither."""
    data = type(DATA)(interactions_from([[0, 1], [1, 2], [0, 2]], 6), interactions_from([[2, 4], [5], [1]], 6))
    context, _ = make(Scripted([1.0], valid=interactions_from([[2], [], [1]], 6)), data=data, candidates="train")
    assert context.score() == 1.0
    assert context._sample.tolist() == [0, 2]
