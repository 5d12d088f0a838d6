"""Rows of tuned models: the config that was found, and what is said of it."""

import re

import pytest

import bench as package
from bench.data.infer_card import make_card
from bench.errors import BenchError, ConfigError
from bench.messages.spec import RunSpec
from bench.report.table import tables
from bench.report.verdict import verdict
from bench.runs.plan import make_plan
from bench.runs.store import Store
from bench.runs.studies import FOLDER


def test_the_tuned_model_stands_beside_the_default_one(tiny_cards, tmp_path, tuned):
    study = tuned(tmp_path)
    frame = package.run("itemknn,itemknn@tuned", "tiny", results=tmp_path).set_index("preset")
    assert set(frame.index) == {"default", "tuned"}
    [result] = [r for r in Store(tmp_path).results() if r.cell.preset == "tuned"]
    assert {name: result.cell.config[name] for name in study.best.options} == study.best.options
    package.run("itemknn@tuned", "tiny", results=tmp_path, options={"itemknn": {"neighbours": 3}})
    assert any(r.cell.config["neighbours"] == 3 and r.cell.preset == "tuned" for r in Store(tmp_path).results())


@pytest.mark.parametrize("fields", ["all", "what was changed"])
def test_a_tuned_row_has_the_config_that_was_found_whatever_the_default_is_now(tiny_cards, tmp_path, fields, tuned):
    study = tuned(tmp_path)
    [path] = (tmp_path / FOLDER).glob("*.json")
    before = {**study.config, "shrink": 7.5} if fields == "all" else None
    changed = study.trials[0].model_copy(update={"options": {"neighbours": 3}, "score": 1.0})
    path.write_text(study.model_copy(update={"config": before, "trials": [changed]}).model_dump_json())
    spec = RunSpec(models=["itemknn@tuned"], dataset="tiny")
    [cell] = make_plan(spec, tmp_path).cells
    assert (cell.config["neighbours"], cell.config["shrink"]) == (3, 7.5 if before else study.config["shrink"])
    path.write_text(study.model_copy(update={"config": {"gone": 1}}).model_dump_json())
    with pytest.raises(ConfigError, match=r"its study, which .* makes anew: unknown config key"):
        make_plan(spec, tmp_path)


def test_what_tuning_brought_is_told_of_the_config_that_it_began_with(tiny_cards, tmp_path, tuned):
    """Not of the default, where the study began with another config."""
    tuned(tmp_path, options={"itemknn": {"shrink": 7}})
    package.run("itemknn,itemknn@tuned", "tiny", results=tmp_path)
    [table] = tables(Store(tmp_path).results())
    [line] = [note for note in verdict(table, Store(tmp_path)).notes if "best of" in note]
    assert ", validation 0." in line
    assert "test" not in line
    package.run("itemknn", "tiny", results=tmp_path, options={"itemknn": {"shrink": 7}})
    [table] = tables(Store(tmp_path).results())
    [line] = [note for note in verdict(table, Store(tmp_path)).notes if "best of" in note]
    [began] = [row for row in table.rows if row.first.cell.config["shrink"] == 7 and row.first.cell.preset == "default"]
    assert f", test {began.mean('all', 'ndcg@10'):.4f} to 0." in line


def test_a_study_that_took_the_place_of_another_is_not_told_of_the_older_row(tiny_cards, tmp_path, tuned):
    study = tuned(tmp_path)
    package.run("itemknn,itemknn@tuned", "tiny", results=tmp_path)
    [table] = tables(Store(tmp_path).results())
    assert any("best of 4 trials" in note for note in verdict(table, Store(tmp_path)).notes)
    other = study.trials[0].model_copy(update={"options": {"neighbours": 1}, "score": 1.0})
    [path] = (tmp_path / FOLDER).glob("*.json")
    path.write_text(study.model_copy(update={"trials": [*study.trials, other]}).model_dump_json())
    assert not any("trials" in note for note in verdict(table, Store(tmp_path)).notes)


def test_what_was_not_tuned_here_is_one_line(tiny_cards, tmp_path, tuned):
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


@pytest.fixture
def other(tmp_path, rows):
    """Card of a data set of another name."""
    lines = [f"v{user},i{item},{time}" for user, item, time in rows]
    (tmp_path / "other.csv").write_text("\n".join(["user,item,time", *lines]) + "\n")
    (tmp_path / "other.yaml").write_text(make_card("other", [tmp_path / "other.csv"]))
    return str(tmp_path / "other.yaml")


def test_a_config_that_was_tuned_on_other_data_says_so_in_its_name(tiny_cards, tmp_path, other, tuned):
    study = tuned(tmp_path)
    frame = package.run("itemknn,itemknn@tuned:tiny", other, results=tmp_path).set_index("preset")
    assert list(frame.sort_index().index) == ["default", "tuned:tiny"]
    store = Store(tmp_path)
    [cell] = [result.cell for result in store.results() if result.cell.preset == "tuned:tiny"]
    assert study.best.options.items() <= cell.config.items()
    [table] = tables(store.results())
    [line] = [note for note in verdict(table, store).notes if "best of" in note]
    before, after = (frame.loc[preset, "all/ndcg@10"] for preset in ("default", "tuned:tiny"))
    assert line == (
        f"itemknn@tuned:tiny: best of 4 trials on tiny ({study.fingerprint[:8]}); "
        f"ndcg@10 from the preset to it, test {before:.4f} to {after:.4f}"
    )
    folds = package.run("itemknn@tuned:tiny", other, results=tmp_path, protocol="kfold:3")  # nothing here was tuned
    assert list(folds["folds"]) == [3]


def test_which_study_of_other_data_is_meant_is_clear_or_one_line(tiny_cards, tmp_path, other, tuned):
    with pytest.raises(ConfigError, match=r"itemknn was not tuned on 'tiny': no study in .*tuning"):
        package.run("itemknn@tuned:tiny", other, results=tmp_path)
    own, last = tuned(tmp_path, trials=2), tuned(tmp_path, trials=1, protocol="loo")
    assert (own.protocol, last.protocol) == ("random", "loo")
    names = [
        f"itemknn@tuned:tiny-{study.fingerprint[:8]}" for study in sorted((own, last), key=lambda s: s.fingerprint)
    ]
    with pytest.raises(ConfigError, match=f"under several protocols on tiny: write {' or '.join(names)}"):
        package.run("itemknn@tuned:tiny", other, results=tmp_path, protocol="temporal")
    with pytest.raises(ConfigError, match="trials on these data under another protocol have seen what is tested here"):
        package.run(names[0], "tiny", results=tmp_path, protocol="temporal")
    for name, protocol in ((names[0], "temporal"), ("itemknn@tuned:tiny", "loo")):
        assert f"itemknn@{package.run(name, other, results=tmp_path, protocol=protocol)['preset'][0]}" == name


@pytest.mark.parametrize("together", [True, False])
def test_a_tuned_row_with_the_config_of_the_default_is_not_trained_again(tiny_cards, tmp_path, together, tuned):
    tuned(tmp_path, trials=1)
    if not together:
        package.run("itemknn", "tiny", results=tmp_path)
    package.run("itemknn,itemknn@tuned", "tiny", results=tmp_path, jobs=2)
    one, other = sorted(Store(tmp_path).results(), key=lambda result: result.cell.preset)
    assert (one.cell.preset, other.cell.preset) == ("default", "tuned")
    assert other.phases == one.phases  # to the last digit: those of one training
    assert other.groups == one.groups
    assert other.warnings == ["has the config of itemknn, whose lists these are: nothing was trained"]
    folders = [tmp_path / "cells" / result.cell_id for result in (one, other)]
    for name in ("lists.parquet", "per_user.parquet"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    kept = [{path.name: path.read_bytes() for path in folder.glob("model/*")} for folder in folders]
    assert kept[0] == kept[1] != {}
    package.run("itemknn@tuned", "tiny", results=tmp_path, options={"itemknn": {"neighbours": 3}})
    [trained] = [r for r in Store(tmp_path).results() if r.cell.config["neighbours"] == 3]
    assert trained.warnings == []


def test_the_table_says_what_tuning_brought_at_validation_and_at_test(bench, tmp_path, tuned):
    """A model that only learnt the validation part would gain there and lose at test."""
    bench("tune", "--models", "itemknn", "--dataset", "tiny", "--trials", "3", "--results", tmp_path)
    done = bench("run", "--models", "itemknn,itemknn@tuned", "--dataset", "tiny", "--results", tmp_path)
    study = tuned(tmp_path, trials=3)
    scores = {r.cell.preset: r.groups["all"].metrics["ndcg@10"] for r in Store(tmp_path).results()}
    line = (
        f"ndcg@10 from the preset to it, validation {study.trials[0].score:.4f} to {study.best.score:.4f}, "
        f"test {scores['default']:.4f} to {scores['tuned']:.4f}"
    )
    assert f"itemknn@tuned: best of 3 trials, {study.seconds:,.0f} s of training; {line}" in done.out


@pytest.mark.slow
def test_a_model_that_learns_validation_by_heart_is_shown_by_the_distance_to_test(start_bench, rough_site, tmp_path):
    words = ("--dataset", "tiny", "--exclude", "train", "--results", tmp_path)
    for command in (
        ("tune", "--models", "rough-overfits", "--trials", "2", *words),
        ("run", "--models", "rough-overfits,rough-overfits@tuned", *words),
    ):
        process = start_bench(*command, environment={"PYTHONPATH": str(rough_site)})
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    [line] = [line for line in out.splitlines() if "rough-overfits@tuned: best of 2 trials" in line]
    before, after, test_before, test_after = map(float, re.findall(r"\b0\.\d{4}", line))
    assert after > 2 * before
    assert test_after < test_before
