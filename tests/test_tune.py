"""Tuning: equal trials, by validation alone, the same however often it was stopped."""

import json
import time

import pytest

import bench as package
from bench.data.hidden import HiddenTest
from bench.errors import BenchError
from bench.messages.spec import RunSpec
from bench.messages.study import Study
from bench.runs.store import Store
from bench.runs.tune import FOLDER, tune


def tuned(folder, model="itemknn", trials=4, seed=1, **fields):
    spec = RunSpec(models=[model], dataset="tiny", **fields)
    return tune(spec, trials, seed, folder, lambda cell, event: None, lambda study, trial: None)


def told(study):
    return [(trial.number, trial.options, trial.score, trial.cell) for trial in study.trials]


@pytest.fixture
def no_test(monkeypatch):
    """Nobody may read the test part."""

    def read(self):
        raise AssertionError("test was read")

    monkeypatch.setattr(HiddenTest, "test", property(read))


def test_a_study_that_was_stopped_is_that_of_an_undisturbed_run(tiny_cards, tmp_path, no_test):
    whole = tuned(tmp_path / "whole")
    for trials in (1, 3, 4):
        parts = tuned(tmp_path / "parts", trials=trials)
    assert told(parts) == told(whole)
    assert len(Store(tmp_path / "parts" / FOLDER).results()) == len({trial.cell for trial in whole.trials})
    other = tuned(tmp_path / "parts", seed=2)
    assert told(other)[0] == told(whole)[0]
    assert told(other)[1:] != told(whole)[1:]


def test_the_first_trial_is_the_preset_and_others_are_within_the_space(tiny_cards, tmp_path, no_test):
    study = tuned(tmp_path, options={"itemknn": {"shrink": 7}})
    assert study.trials[0].options == {"shrink": 7}
    assert set(study.space) == {"neighbours"}
    for trial in study.trials[1:]:
        assert trial.options["shrink"] == 7
        assert study.space["neighbours"]["low"] <= trial.options["neighbours"] <= study.space["neighbours"]["high"]
    assert study.best.score == max(trial.score for trial in study.trials)


def test_a_trial_is_scored_over_all_validation_users_by_the_rules_of_validation(tiny_cards, tmp_path, no_test):
    study = tuned(tmp_path, trials=1)
    [result] = Store(tmp_path / FOLDER).results()
    assert (result.cell.protocol.history, result.cell.protocol.exclude) == ("train", "train")
    assert result.cell.fingerprint != study.fingerprint
    assert study.trials[0].score == result.groups["all"].metrics["ndcg@10"]


def test_a_model_without_a_space_has_one_trial(tiny_cards, tmp_path, no_test):
    assert len(tuned(tmp_path, model="pop").trials) == 1


def test_the_tuned_model_stands_beside_the_default_one(tiny_cards, tmp_path):
    study = tuned(tmp_path)
    frame = package.run("itemknn,itemknn@tuned", "tiny", results=tmp_path).set_index("preset")
    assert set(frame.index) == {"default", "tuned"}
    [result] = [r for r in Store(tmp_path).results() if r.cell.preset == "tuned"]
    assert {name: result.cell.config[name] for name in study.best.options} == study.best.options
    package.run("itemknn@tuned", "tiny", results=tmp_path, options={"itemknn": {"neighbours": 3}})
    assert any(r.cell.config["neighbours"] == 3 and r.cell.preset == "tuned" for r in Store(tmp_path).results())


def test_what_was_not_tuned_here_is_one_line(tiny_cards, tmp_path):
    tuned(tmp_path, trials=1)
    with pytest.raises(
        BenchError, match="itemknn was not tuned on these data under this protocol: 'bench tune --models"
    ):
        package.run("itemknn@tuned", "tiny", results=tmp_path, protocol="loo")
    with pytest.raises(BenchError, match="ease was not tuned"):
        package.run("ease@tuned", "tiny", results=tmp_path)
    [path] = (tmp_path / FOLDER).glob("*.json")
    path.write_text("{}")
    with pytest.raises(BenchError, match=r"\.json cannot be read: remove it, and tune again"):
        package.run("itemknn@tuned", "tiny", results=tmp_path)


def test_folds_cannot_be_tuned_at_once(tiny_cards, tmp_path):
    with pytest.raises(BenchError, match="'kfold:5' has folds: tune under one without"):
        tuned(tmp_path, protocol="kfold:5")


def test_command_prints_trials_and_the_way_on(bench, tmp_path):
    done = bench("tune", "--models", "ease,pop", "--dataset", "tiny", "--trials", "2", "--results", tmp_path)
    assert done.status == 0, done.err
    assert "ease 1/2  ndcg@10 " in done.err
    assert "pop 1/1  ndcg@10 " in done.err
    assert "bench run --models ease,ease@tuned,pop,pop@tuned" in done.out
    done = bench("tune", "--models", "ease", "--dataset", "tiny", "--trials", "2", "--results", tmp_path, "--json")
    [study] = json.loads(done.out)
    assert [trial["number"] for trial in study["trials"]] == [0, 1]
    done = bench("tune", "--models", "ease", "--set", "pop.x=1", "--dataset", "tiny", "--results", tmp_path)
    assert "options are given for pop, which --models does not name" in done.err


def test_the_table_says_what_tuning_brought_at_validation_and_at_test(bench, tmp_path):
    """A model that only learnt the validation part would gain there and lose at test."""
    bench("tune", "--models", "itemknn", "--dataset", "tiny", "--trials", "3", "--results", tmp_path)
    done = bench("run", "--models", "itemknn,itemknn@tuned", "--dataset", "tiny", "--results", tmp_path)
    study = tuned(tmp_path, trials=3)
    scores = {r.cell.preset: r.groups["all"].metrics["ndcg@10"] for r in Store(tmp_path).results()}
    line = (
        f"ndcg@10 from the preset to it, validation {study.trials[0].score:.4f} to {study.best.score:.4f}, "
        f"test {scores['default']:.4f} to {scores['tuned']:.4f}"
    )
    assert f"itemknn@tuned: best of 3 trials in {study.seconds:,.0f} s; {line}" in done.out


@pytest.mark.slow
def test_a_study_that_was_killed_ten_times_is_that_of_an_undisturbed_run(start_bench, tmp_path):
    words = ("tune", "--models", "itemknn", "--dataset", "tiny", "--trials", "6", "--json", "--results")
    whole, _ = start_bench(*words, tmp_path / "whole").communicate(timeout=120)
    for number in range(10):
        process = start_bench(*words, tmp_path / "killed")
        time.sleep(0.8 + 0.3 * number)
        process.kill()
        process.wait()
    killed, _ = start_bench(*words, tmp_path / "killed").communicate(timeout=120)
    found = [[Study.model_validate(one) for one in json.loads(text)] for text in (whole, killed)]
    assert [told(study) for study in found[1]] == [told(study) for study in found[0]]
    assert len(found[0][0].trials) == 6
