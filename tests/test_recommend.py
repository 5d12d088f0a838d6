"""``bench recommend``: one user's list from a saved model, as it would be at test."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from bench.data.catalog import card
from bench.data.prepare import prepare
from bench.data.protocol import PROTOCOLS
from bench.data.split import split
from bench.messages.job import Outcome
from bench.runs import recommend
from bench.runs.job import Ended
from bench.runs.store import Store

ASK = ("recommend", "--dataset", "tiny", "--model")
RUN = ("run", "--dataset", "tiny", "--save-models", "--models")


@pytest.fixture
def parts(tiny_cards):
    return split(prepare(card("tiny")), PROTOCOLS["random"])


@pytest.fixture
def never(monkeypatch):
    """From now on training is an error."""

    def call():
        monkeypatch.setattr("bench.runs.recommend.train", lambda *arguments: pytest.fail("a model was trained"))

    return call


def stored_lists(folder, model):
    """Inner item ids by inner user, as the run that was measured has them."""
    [result] = [result for result in Store(folder).results() if result.cell.model == model]
    lists = pd.read_parquet(folder / "cells" / result.cell_id / "lists.parquet")
    return dict(zip(lists["user"], lists["item"], strict=True))


@pytest.mark.parametrize("model", ["pop", "random", "itemknn", "ease"])
def test_list_is_the_one_that_was_measured(bench, tmp_path, parts, never, model):
    bench(*RUN, model, "--results", tmp_path)
    never()
    lists = stored_lists(tmp_path, model)
    users = sorted(lists)[:5]
    words = [word for user in users for word in ("--user", f"u{user:03}")]
    done = bench(*ASK, model, *words, "--json", "--results", tmp_path)
    assert (done.status, done.err) == (0, "")
    document = json.loads(done.out)
    assert [answer["user"] for answer in document["users"]] == [f"u{user:03}" for user in users]
    for user, answer in zip(users, document["users"], strict=True):
        expected = lists[user][:10]
        assert [one["item"] for one in answer["recommendations"]] == [f"i{item:03}" for item in expected]
        assert [one["title"] for one in answer["recommendations"]] == [f"thing {item}" for item in expected]
        assert [one["rank"] for one in answer["recommendations"]] == list(range(1, 11))
        train = parts.visible.train.select(np.array([user])).items
        assert [one["item"] for one in answer["history"]] == [f"i{item:03}" for item in train[::-1]]
        scores = [one["score"] for one in answer["recommendations"]]
        assert scores == sorted(scores, reverse=True)


def test_model_that_is_not_there_is_trained_and_kept(bench, tmp_path, never):
    first = bench(*ASK, "ease", "--user", "u003", "--results", tmp_path)
    assert first.status == 0
    assert "ease is not trained yet: it is trained and kept in " in first.err
    assert "[1/1] ease  ndcg@10" in first.err
    [result] = Store(tmp_path).results()
    assert (tmp_path / "cells" / result.cell_id / "model").is_dir()
    never()
    second = bench(*ASK, "ease", "--user", "u003", "--results", tmp_path)
    assert (second.out, second.err) == (first.out, "")
    assert bench(*RUN[:-2], "--models", "ease", "--results", tmp_path).err.count("already there") == 1


def test_finished_cell_without_its_model_is_trained_again_and_keeps_its_result(bench, tmp_path):
    bench("run", "--dataset", "tiny", "--models", "ease", "--no-save-models", "--results", tmp_path)
    [before] = Store(tmp_path).results()
    done = bench(*ASK, "ease", "--user", "u003", "--results", tmp_path)
    assert "ease was run without keeping the model: it is trained again" in done.err
    assert Store(tmp_path).results() == [before]
    assert len(list(tmp_path.glob("cells/*/model"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells", "leaderboards"]


@pytest.mark.slow
def test_model_of_a_run_with_longer_lists_will_do_and_one_of_another_seed_or_config_not(bench, tmp_path):
    bench(*RUN, "random", "--results", tmp_path, "--k", "30")
    assert bench(*ASK, "random", "--user", "u003", "--results", tmp_path).err == ""
    for words in (["--seed", "2"], ["--protocol", "colarec"], ["--exclude", "none"]):
        assert "is not trained yet" in bench(*ASK, "random", "--user", "u003", *words, "--results", tmp_path).err
    bench(*ASK, "ease", "--user", "u003", "--results", tmp_path)
    assert "not trained" in bench(*ASK, "ease", "--set", "ease.l2=9", "--user", "u003", "--results", tmp_path).err


def test_text_shows_history_and_list_and_nothing_of_the_test_set(bench, tmp_path, parts):
    user = int(np.flatnonzero(parts.hidden.test.lengths)[0])
    done = bench(*ASK, "ease", "--user", f"u{user:03}", "-k", "3", "--results", tmp_path, "--exclude", "none")
    head, history, *lines = done.out.splitlines()[0], *done.out.splitlines()[2:]
    train = parts.visible.train.select(np.array([user])).items
    assert head.startswith("ease on tiny, protocol random* (")
    assert history.startswith(f"user u{user:03}: {len(train)} items of history")
    at = lines.index("recommended")
    shown = [line.split()[0] for line in lines[:at]]
    assert shown == [f"i{item:03}" for item in train[::-1][:5]]
    assert len(lines) == at + 4
    assert [int(line.split()[0]) for line in lines[at + 1 :]] == [1, 2, 3]


def test_list_is_shorter_when_few_items_are_left(bench, tmp_path, parts):
    user = int(np.argmax(parts.visible.train.lengths))
    left = 40 - int(parts.visible.train.lengths[user] + parts.visible.valid.lengths[user])
    done = bench(*ASK, "pop", "--user", f"u{user:03}", "-k", "100", "--results", tmp_path, "--json")
    [answer] = json.loads(done.out)["users"]
    assert len(answer["recommendations"]) == left


@pytest.fixture
def rough(start_bench, rough_site, tmp_path):
    def call(*words):
        process = start_bench(*words, "--results", tmp_path, environment={"PYTHONPATH": str(rough_site)})
        process.out, process.err = process.communicate(timeout=60)
        return process

    return call


def test_explanations_stand_beside_their_items(rough, tmp_path, parts):
    done = rough(*ASK, "rough-explains", "--user", "u005", "--user", "u002", "-k", "3", "--explain", "--json")
    assert done.returncode == 0, done.err
    for answer in json.loads(done.out)["users"]:
        user = int(answer["user"][1:])
        known = parts.visible.train.select(np.array([user])).items.tolist()
        for one in answer["recommendations"]:
            said = one["explanation"]
            assert f"i{said['speaks of']:03}" == one["item"]
            assert (said["to"], said["who knows"]) == (user, known)
    done = rough(*ASK, "rough-explains", "--user", "u005", "-k", "1", "--explain")
    [line] = [line for line in done.out.splitlines() if line.startswith("   1  ")]
    item = int(line.split()[1][1:])
    said = done.out[done.out.index(line) :].splitlines()[1:]
    known = ", ".join(map(str, parts.visible.train.select(np.array([5])).items))
    assert [part.strip() for part in said] == [
        f"speaks of: {item}", "to: 5", f"who knows: {known}", f"path: token kind, p 0.1235; token {item % 4}, p 1",
        "text: a b",
    ]  # fmt: skip


def test_model_that_cannot_explain_says_so_before_it_is_trained(bench, tmp_path):
    done = bench(*ASK, "ease", "--user", "u003", "--explain", "--results", tmp_path / "results")
    assert done.err == "error: ease does not explain its recommendations: go on without --explain\n"
    assert (done.status, done.out) == (1, "")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("model", "words", "said"),
    [
        ("rough-mumbles", ["--explain"], "explain() should give a mapping for each filled slot"),
        ("rough-raises", [], "rough-raises failed: RuntimeError: the model broke in two lines"),
        ("rough-none", [], "rough-none failed: TypeError"),
    ],
)
def test_model_that_fails_is_one_line(rough, model, words, said):
    done = rough(*ASK, model, "--user", "u003", *words)
    assert done.returncode == 1
    assert said in done.err.splitlines()[-1]
    assert "Traceback" not in done.err + done.out
    assert done.out == ""


def test_offences_are_left_out_with_a_warning(rough):
    done = rough(*ASK, "rough-duplicates", "--user", "u003", "-k", "4")
    assert "warning: rough-duplicates broke the contract in these slots: 3 duplicate" in done.err
    assert len(done.out[done.out.index("recommended") :].splitlines()) == 2


def test_failed_attempt_does_not_take_the_place_of_a_finished_cell(bench, tmp_path, monkeypatch):
    bench("run", "--dataset", "tiny", "--models", "ease", "--no-save-models", "--results", tmp_path)
    monkeypatch.setattr("bench.runs.job.Job.run", lambda *arguments: Ended("it broke", Outcome(status="failed"), ""))
    done = bench(*ASK, "ease", "--user", "u003", "--results", tmp_path)
    assert "ease failed: it broke" in done.err
    [result] = Store(tmp_path).results()
    assert result.status == "finished"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*ASK, "ease", "--user", "u03"], "unknown user of tiny 'u03': did you mean 'u0"),
        ([*ASK, "ease", "--user", "%%"], "unknown user of tiny '%%': see ids such as 'u000', 'u016', 'u032'"),
        ([*ASK, "ease", "--user", "u001", "--user", "no"], "unknown user of tiny 'no'"),
        ([*ASK, "eese", "--user", "u001"], "unknown model 'eese': did you mean 'ease'"),
        ([*ASK, "ease,pop", "--user", "u001"], "--model takes one name, not 'ease,pop'"),
        ([*ASK, "ease@x", "--user", "u001"], "unknown preset of ease 'x'"),
        ([*ASK, "ease", "--user", "u001", "-k", "0"], "-k"),
        ([*ASK, "ease"], "--user"),
        ([*ASK, "ease", "--user", "u001", "--set", "pop.x=1"], "pop, which --models does not name"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_mistake_is_one_line_before_anything_is_trained(bench, tmp_path, words, said):
    done = bench(*words, "--results", tmp_path / "results")
    [line] = done.err.strip().splitlines()
    assert said in line
    assert done.status not in (0, None)
    assert not (tmp_path / "results").exists()


def test_user_that_the_filters_left_out_is_told_so(bench, own_card, tmp_path):
    rows = [(f"u{user}", f"i{item}", 10 * user + item) for user in range(6) for item in range(6)] + [("lone", "i1", 5)]
    own = own_card(rows, filters={"k_core": 5})
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"own": own.model_dump(mode="json", exclude={"name"})}))
    done = bench("recommend", "--dataset", tmp_path / "own.yaml", "--model", "pop", "--user", "lone")
    assert "user 'lone' has 1 interactions in the raw files of 'own', but is not left after its filters" in done.err
    assert "5-core" in done.err
    assert "such as 'u0', 'u2', 'u4'" in done.err


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"title": ["a\n b", ""], "text": ["x", "y"]}, ["a b", ""]),
        ({"text": ["x" * 70, "y"]}, ["x" * 59 + "…", "y"]),
        ({}, ["", ""]),
    ],
)
def test_titles_are_one_short_line(columns, expected):
    assert recommend.titles(pd.DataFrame({"id": ["1", "2"], **columns})) == expected


def test_items_of_an_explanation_are_told_by_id_and_title():
    titled = [{"item": "B00", "title": "a comb"}, {"item": "B01", "title": "soap"}]
    found = recommend._named({"why": [{"item": 1, "near": 0.5}, {"item": 7}], "item": "text", "n": 3}, titled)
    near = [{"item": "B01", "near": 0.5, "title": "soap"}, {"item": 7}]
    assert found == {"why": near, "item": "text", "n": 3}
