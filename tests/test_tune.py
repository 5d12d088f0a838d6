"""Tuning: equal trials, by validation alone, the same however often it was stopped."""

import json
import re
import time

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import bench as package
from bench.cli import progress
from bench.data.hidden import HiddenTest
from bench.data.infer_card import make_card
from bench.errors import BenchError, ConfigError
from bench.messages.cell import ValidationRecord
from bench.messages.spec import RunSpec
from bench.messages.study import Study
from bench.report.table import tables
from bench.report.verdict import verdict
from bench.runs import tune as runs_tune
from bench.runs.plan import make_plan
from bench.runs.store import Store
from bench.runs.studies import FOLDER
from bench.runs.tune import at_validation, tune


def told(study):
    return [(trial.number, trial.options, trial.score, trial.cell) for trial in study.trials]


@pytest.fixture
def no_test(monkeypatch):
    """Nobody may read the test part."""

    def read(self):
        raise AssertionError("test was read")

    monkeypatch.setattr(HiddenTest, "test", property(read))


def test_a_study_that_was_stopped_is_that_of_an_undisturbed_run(tiny_cards, tmp_path, no_test, tuned):
    whole = tuned(tmp_path / "whole")
    for trials in (1, 4):
        parts = tuned(tmp_path / "parts", trials=trials)
    assert told(parts) == told(whole)
    assert len(Store(tmp_path / "parts" / FOLDER).results()) == len({trial.cell for trial in whole.trials})
    other = tuned(tmp_path / "parts", seed=2)
    assert told(other)[0] == told(whole)[0]
    assert told(other)[1:] != told(whole)[1:]


def test_the_first_trial_is_the_preset_and_others_are_within_the_space(tiny_cards, tmp_path, no_test, tuned):
    study = tuned(tmp_path, options={"itemknn": {"shrink": 7}})
    assert study.trials[0].options == {"shrink": 7}
    assert set(study.space) == {"neighbours"}
    for trial in study.trials[1:]:
        assert trial.options["shrink"] == 7
        assert study.space["neighbours"]["low"] <= trial.options["neighbours"] <= study.space["neighbours"]["high"]
    assert study.best.score == max(trial.score for trial in study.trials)


def test_a_trial_is_scored_over_all_validation_users_by_the_rules_of_validation(tiny_cards, tmp_path, no_test, tuned):
    study = tuned(tmp_path, trials=1)
    [result] = Store(tmp_path / FOLDER).results()
    assert (result.cell.protocol.history, result.cell.protocol.exclude) == ("train", "train")
    assert result.cell.fingerprint != study.fingerprint
    assert study.trials[0].score == result.groups["all"].metrics["ndcg@10"]


def test_every_row_has_the_validation_score_that_a_trial_of_the_same_config_has(tiny_cards, tmp_path, tuned):
    """Of a trial it is measured by the parent, as test is; of a row the worker says it, as of an epoch."""
    study = tuned(tmp_path, trials=1)
    frame = package.run("itemknn", "tiny", results=tmp_path)
    assert frame["validation/ndcg@10"].tolist() == pytest.approx([study.trials[0].score], abs=1e-12)


def test_a_model_without_a_space_has_one_trial(tiny_cards, tmp_path, no_test, tuned):
    assert len(tuned(tmp_path, model="pop").trials) == 1


def test_a_study_that_is_gone_through_again_is_whole_all_the_time(tiny_cards, tmp_path, tuned):
    whole, seen = told(tuned(tmp_path)), []
    [path] = (tmp_path / FOLDER).glob("*.json")

    def tell(study, trial):
        seen.append(told(Study.model_validate_json(path.read_text())))

    spec = RunSpec(models=["itemknn"], dataset="tiny")
    longer = tune(spec, 5, 1, tmp_path, lambda cell, event: None, tell)
    assert seen == [whole] * 4 + [told(longer)]
    assert tuned(tmp_path, trials=2) == longer
    assert Study.model_validate_json(path.read_text()) == longer
    planned = tuned(tmp_path, trials=2, plan="abc")
    assert told(planned) == whole[:2]
    assert Study.model_validate_json(path.read_text()) == planned
    assert tuned(tmp_path, trials=2) == planned


@pytest.fixture
def ready(tmp_path, rows):
    """Card of a ready split without a validation part."""
    for part, own in (("train", lambda time: time % 5), ("test", lambda time: not time % 5)):
        lines = [f"u{user},i{item}" for user, item, time in rows if own(time // 10)]
        (tmp_path / f"{part}.csv").write_text("\n".join(["user,item", *lines]) + "\n")
    (tmp_path / "ready.yaml").write_text(
        make_card("ready", split={p: tmp_path / f"{p}.csv" for p in ("train", "test")})
    )
    return str(tmp_path / "ready.yaml")


def test_where_no_validation_part_is_a_tenth_of_train_is_one_and_the_end_is_trained_on_all(ready, tmp_path, no_test):
    spec = RunSpec(models=["itemknn"], dataset=ready)
    study = tune(spec, 3, 1, tmp_path, lambda cell, event: None, lambda study, trial: None)
    assert "10% of each user's train part for validation" in study.carved
    whole = make_plan(RunSpec(models=["itemknn@tuned"], dataset=ready), tmp_path)
    [trial] = {result.cell.content for result in Store(tmp_path / FOLDER).results()}
    assert whole.cells[0].content != trial
    assert whole.cells[0].config["neighbours"] == study.best.options.get("neighbours", 100)
    planned = at_validation(whole)
    parts, train = planned.folds[None].split.visible, whole.folds[None].split.visible.train
    assert len(parts.valid) > 0
    assert sorted(pairs(parts.train) + pairs(parts.valid)) == sorted(pairs(train))
    assert not set(pairs(parts.train)) & set(pairs(parts.valid))


def test_what_the_last_fit_is_on_does_not_change_the_trials(tiny_cards, tmp_path, no_test, tuned):
    plain, whole = tuned(tmp_path), tuned(tmp_path, fit="train+valid")
    assert told(plain) == told(whole)
    assert whole.fingerprint != plain.fingerprint
    spec = RunSpec(models=["itemknn@tuned"], dataset="tiny", fit="train+valid")
    assert make_plan(spec, tmp_path).cells[0].config["neighbours"] == whole.best.options.get("neighbours", 100)


def pairs(part):
    return list(zip(part.users.tolist(), part.items.tolist(), strict=True))


@pytest.mark.slow
def test_without_validation_a_tuned_model_takes_the_epochs_that_were_best(ready, tmp_path):
    spec = RunSpec(models=["mf"], dataset=ready, options={"mf": {"epochs": 6, "batch_size": 64}})
    study = tune(spec, 1, 1, tmp_path, lambda cell, event: None, lambda study, trial: None)
    [result] = Store(tmp_path / FOLDER).results()
    best = max(result.validations, key=lambda record: record.score)
    assert study.best.epochs == best.epoch
    tested = make_plan(RunSpec(models=["mf@tuned"], dataset=ready), tmp_path)
    assert tested.cells[0].config["epochs"] == best.epoch
    stopping = make_plan(RunSpec(models=["mf"], dataset=ready, options={"mf": {"epochs": 4}}))
    assert stopping.cells[0].config["epochs"] == 4


def test_nothing_to_validate_on_is_one_line(own_card, tmp_path):
    own = own_card([(f"u{user}", f"i{item}", 100) for user in range(9) for item in range(2)])
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"own": own.model_dump(mode="json", exclude={"name"})}))
    with pytest.raises(BenchError, match="leaves no train part that one for validation could be of"):
        tune(RunSpec(models=["ease"], dataset=str(tmp_path / "own.yaml")), 1, 1, tmp_path, print, print)


def test_trials_asked_for_together_do_not_depend_on_who_ran_them(tiny_cards, tmp_path, no_test, tuned):
    """Those of a batch are asked for before any of them has a score."""
    two = tuned(tmp_path, trials=4, jobs=2)
    assert two.at_once == 2
    assert [trial.number for trial in two.trials] == [0, 1, 2, 3]
    (tmp_path / FOLDER / "cells" / two.trials[3].cell / "result.json").unlink()
    assert told(tuned(tmp_path, trials=4, jobs=2)) == told(two)


def test_nothing_is_held_against_a_trial_that_failed(tiny_cards, tmp_path, monkeypatch, tuned):
    """It is made again, and the trials after it would be asked other things before and after that."""
    validations = [ValidationRecord(stage="", epoch=epoch, score=0.9, improved=epoch == 1) for epoch in range(1, 9)]
    failed, held, run_cells = (
        {"status": "failed", "reason": "gone", "validations": validations},
        [],
        runs_tune.run_cells,
    )
    monkeypatch.setattr(
        runs_tune, "run_cells", lambda *words: [result.model_copy(update=failed) for result in run_cells(*words)]
    )
    monkeypatch.setattr(runs_tune, "floors", lambda trainings: held.append(len(trainings)) or [])
    assert [trial.score for trial in tuned(tmp_path, trials=3).trials] == [None, None, None]
    assert held == [0, 0, 0]


def test_a_trial_that_is_no_config_has_failed_and_the_others_go_on(tiny_cards, tmp_path, monkeypatch, tuned):
    """As with a rule over two fields, which a space cannot know."""
    same_data = runs_tune.same_data

    def strict(plan, spec):
        if spec.options["itemknn"].get("neighbours", 200) < 50:
            raise ConfigError("itemknn: fewer than the rule says")
        return same_data(plan, spec)

    plain = tuned(tmp_path / "plain", trials=6)
    few = [trial.number for trial in plain.trials if trial.options.get("neighbours", 200) < 50]
    monkeypatch.setattr(runs_tune, "same_data", strict)
    study = tuned(tmp_path / "strict", trials=6)
    failed = [trial for trial in study.trials if trial.score is None]
    assert few[:1] == [trial.number for trial in failed][:1] != []
    assert {trial.reason for trial in failed} == {"itemknn: fewer than the rule says"}
    assert len(study.trials) == 6
    assert told(tuned(tmp_path / "strict", trials=6)) == told(study)


def test_trials_at_their_limit_of_time_are_told(tiny_cards, tmp_path, monkeypatch, tuned):
    cut, run_cells = {"stopped_by_budget": True}, runs_tune.run_cells
    with monkeypatch.context() as patched:
        patched.setattr(
            runs_tune, "run_cells", lambda *words: [result.model_copy(update=cut) for result in run_cells(*words)]
        )
        study = tuned(tmp_path, trials=3)
    assert [trial.at_limit for trial in study.trials] == [True] * 3
    package.run("itemknn,itemknn@tuned", "tiny", results=tmp_path)
    [table] = tables(Store(tmp_path).results())
    assert any("best of 3 trials, " in note and "s of training, 3 of them at their limit of time;" in note
               for note in verdict(table, Store(tmp_path)).notes)  # fmt: skip


@pytest.mark.slow
def test_a_trial_that_is_given_up_is_measured_and_told(start_bench, rough_site, tmp_path):
    words = ("tune", "--models", "rough-shaken", "--dataset", "tiny", "--trials", "14", "--json", "--results", tmp_path)
    process = start_bench(*words, environment={"PYTHONPATH": str(rough_site)})
    out, err = process.communicate(timeout=300)
    [study] = [Study.model_validate(one) for one in json.loads(out)]
    results = {result.cell_id: result for result in Store(tmp_path / FOLDER).results()}
    given_up = [trial for trial in study.trials if trial.pruned]
    assert given_up
    for trial in given_up:
        result = results[trial.cell]
        assert result.validations[-1].epoch == trial.pruned < 12
        assert trial.score == result.groups["all"].metrics["ndcg@10"]
        assert f"given up after epoch {trial.pruned}" in err
    assert study.best.pruned is None
    assert not any(trial.pruned for trial in study.trials[:5])
    whole, _ = start_bench(*words, "--no-prune", environment={"PYTHONPATH": str(rough_site)}).communicate(timeout=300)
    assert [trial["pruned"] for trial in json.loads(whole)[0]["trials"]] == [None] * 14


@pytest.mark.slow
def test_two_processes_share_the_trials_of_one_study(start_bench, tmp_path):
    words = ("tune", "--models", "itemknn", "--dataset", "tiny", "--trials", "6", "--jobs", "2", "--json", "--results")
    both = [start_bench(*words, tmp_path) for _ in range(2)]
    found = [json.loads(process.communicate(timeout=120)[0]) for process in both]
    assert found[0] == found[1]
    cells = {trial["cell"] for trial in found[0][0]["trials"]}
    assert {result.cell_id for result in Store(tmp_path / FOLDER).results()} == cells


@pytest.mark.parametrize("kind", ["journal", "database"])
def test_optuna_reads_a_copy_of_the_study(bench, tmp_path, kind):
    path = tmp_path / "optuna.journal"
    place = str(path) if kind == "journal" else f"sqlite:///{tmp_path}/optuna.db"
    words = ("tune", "--models", "itemknn", "--dataset", "tiny", "--trials", "3", "--results", tmp_path)
    for _ in range(2):  # the second one takes the place of the first
        assert bench(*words, "--optuna", place).status == 0
    [study] = [Study.model_validate_json(path.read_text()) for path in (tmp_path / FOLDER).glob("*.json")]
    storage = JournalStorage(JournalFileBackend(place)) if kind == "journal" else place
    [name] = optuna.get_all_study_names(storage)
    copy = optuna.load_study(study_name=name, storage=storage)
    assert [trial.value for trial in copy.trials] == [trial.score for trial in study.trials]
    assert [trial.params for trial in copy.trials] == [trial.options for trial in study.trials]
    assert copy.best_trial.user_attrs["cell"] == study.best.cell


def test_a_place_that_optuna_cannot_write_is_one_line(bench, tmp_path):
    words = ("tune", "--models", "ease", "--dataset", "tiny", "--trials", "1", "--results", tmp_path)
    for place in (tmp_path / "no" / "folder", "nothing://here"):
        done = bench(*words, "--optuna", place)
        assert done.status == 1
        assert done.err.startswith(f"error: --optuna {place}: ")
        assert not (tmp_path / FOLDER).exists()  # nothing was tried for it


def test_command_prints_trials_and_the_way_on(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY", 0)
    done = bench("tune", "--models", "ease,pop", "--dataset", "tiny", "--trials", "2", "--results", tmp_path)
    assert done.status == 0, done.err
    assert "ease 1/2  ndcg@10 " in done.err
    assert "pop 1/1  ndcg@10 " in done.err
    assert re.search(r"^  ease · recommend 48/48 users, ", done.err, re.MULTILINE)
    way_on = f"bench run --models ease,ease@tuned,pop,pop@tuned --dataset tiny --results {tmp_path}\n"
    assert done.out.endswith(f"test them:  {way_on}")
    done = bench("tune", "--models", "ease", "--dataset", "tiny", "--trials", "2", "--results", tmp_path, "--json")
    [study] = json.loads(done.out)
    assert [trial["number"] for trial in study["trials"]] == [0, 1]
    done = bench("tune", "--models", "ease", "--set", "pop.x=1", "--dataset", "tiny", "--results", tmp_path)
    assert "options are given for pop, which --models does not name" in done.err
    done = bench("tune", "--models", "slim,ease@default,ease", "--dataset", "tiny", "--results", tmp_path)
    assert done.err == "error: --models names ease twice: ease@tuned is one config, tune one preset of it\n"


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


def test_lists_too_short_to_be_judged_are_one_line(start_bench, rough_site, tmp_path):
    words = ("tune", "--models", "rough-shallowest", "--dataset", "tiny", "--results", tmp_path)
    process = start_bench(*words, environment={"PYTHONPATH": str(rough_site)})
    _, err = process.communicate(timeout=300)
    assert process.returncode
    assert "error: rough-shallowest makes lists of 5, which ndcg@10 cannot judge" in err
    assert Store(tmp_path / FOLDER).results() == []
