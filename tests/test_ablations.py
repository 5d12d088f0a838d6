"""``--ablate``: a model beside itself without its parts."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import bench as api
from bench.errors import BenchError
from bench.messages.cell import Cell
from bench.report import ablations, leaderboard
from bench.report.table import tables
from bench.runs.store import Store

RUN = ("run", "--dataset", "tiny")
GOOD = ("no_blocks", "no_strength")
BAD = {
    "breaks": "RuntimeError: no strength left",
    "invalid": "rough-parts: strength = 'much': Input should be a valid integer",
    "unknown": "rough-parts: size = 3: Extra inputs are not permitted",
}


@pytest.fixture(scope="module")
def run(start_bench, rough_site, tmp_path_factory):
    """All ablations of a model with two seeds, beside a model without any."""
    folder = tmp_path_factory.mktemp("ablations")
    words = (*RUN, "--models", "rough-parts,rough-healthy", "--ablate", "--seeds", "1,2", "--results", folder)
    process = start_bench(*words, environment={"PYTHONPATH": str(rough_site)})
    process.out, process.err = process.communicate(timeout=120)
    process.folder = folder
    process.results = Store(folder).results()
    return process


def of(results, ablation, model="rough-parts"):
    """Results of an ablation by seed."""
    found = {}
    for result in results:
        name = result.cell.ablation.name if result.cell.ablation else None
        if (result.cell.model, name) == (model, ablation):
            found[result.cell.seed] = result
    return found


def score(run, result, group="all"):
    values = pd.read_parquet(run.folder / "cells" / result.cell_id / "per_user.parquet").set_index("user")
    return values[f"{group}/ndcg@10"].dropna()


def table_of(run):
    [path] = (run.folder / "leaderboards").glob("*-ablations-rough-parts@quick.json")
    return json.loads(path.read_text())


def test_each_ablation_is_a_cell_per_seed_beside_the_whole_model(run):
    assert len(run.results) == 1 + 2 * (1 + len(GOOD) + len(BAD))
    for name in (None, *GOOD, *BAD):
        assert set(of(run.results, name)) == {1, 2}
    assert set(of(run.results, None, "rough-healthy")) == {0}


def test_ablated_config_is_that_of_the_whole_model_with_the_change(run):
    whole = of(run.results, None)[1].cell
    assert whole.config == {"blocks": True, "strength": 1}
    changed = of(run.results, "no_blocks")[1].cell
    assert changed.config == {"blocks": False, "strength": 1}
    assert changed.unablated == whole
    assert changed.unablated.id == whole.id != changed.id


@pytest.mark.parametrize("name", BAD)
def test_ablation_that_cannot_be_run_is_a_failed_row_and_the_others_go_on(run, name):
    assert run.returncode == 1
    assert "6 of 13 cells failed" in run.err
    for result in of(run.results, name).values():
        assert result.status == "failed"
        assert result.reason.startswith(BAD[name])
        assert "\n" not in result.reason
    assert f"rough-parts@quick {name} seed 1 failed: {BAD[name]}" in run.out
    for good in (None, *GOOD):
        assert {result.status for result in of(run.results, good).values()} == {"finished"}
    [record] = [record for record in table_of(run)["rows"] if record["ablation"] == name]
    assert (record["status"], record["all"], record["all/difference"]) == ("failed", None, None)
    assert record["reason"].startswith(BAD[name])
    [page] = (run.folder / "leaderboards").glob("*-ablations-rough-parts@quick.md")
    assert f"{name} failed: {BAD[name]}" in page.read_text()


@pytest.mark.parametrize("group", ["all", "long tail"])
@pytest.mark.parametrize("name", GOOD)
def test_difference_is_the_mean_over_users_of_means_over_seeds(run, name, group):
    """By hand from the per-user values."""
    own, whole = (of(run.results, which) for which in (name, None))
    by_user = sum(score(run, own[seed], group) - score(run, whole[seed], group) for seed in (1, 2)) / 2
    [record] = [record for record in table_of(run)["rows"] if record["ablation"] == name]
    assert record[group] == pytest.approx(np.mean([score(run, own[seed], group).mean() for seed in (1, 2)]), abs=1e-6)
    assert record[f"{group}/difference"] == pytest.approx(by_user.mean(), abs=1e-6)
    assert (len(by_user) < 30) == (group == "long tail")
    if len(by_user) < 30:  # too few for an interval
        assert (record[f"{group}/low"], record[f"{group}/high"]) == (None, None)
        return
    half = half_width([[np.asarray(score(run, row[seed], group)) for seed in (1, 2)] for row in (own, whole)])
    assert record[f"{group}/low"] == pytest.approx(by_user.mean() - half, abs=1e-6)
    assert record[f"{group}/high"] == pytest.approx(by_user.mean() + half, abs=1e-6)


def half_width(rows):
    """The rule of intervals written out, for the difference of two rows of two seeds each."""
    rows = np.array(rows)
    n = rows.shape[2]
    users = (rows[0].mean(axis=0) - rows[1].mean(axis=0)).var(ddof=1) / n
    seeds = [(row[0].mean() - row[1].mean()) ** 2 / 4 for row in rows]  # variances of the mean, one degree of freedom
    for row in rows:
        apart = row[0] - row[1]
        users -= ((apart - apart.mean()) ** 2).sum() / 2 / (n - 1) / (2 * n)
    users, both = max(users, 0), sum(seeds)
    weight = sum(part**2 for part in seeds)
    quantiles = [scipy.stats.t.ppf(0.975, total**2 / weight) for total in (both, users + both)] if weight else [0, 1.96]
    apart = scipy.stats.norm.ppf(0.975) ** 2 * users + quantiles[0] ** 2 * both
    return ((apart + quantiles[1] ** 2 * (users + both)) / 2) ** 0.5


def test_a_part_that_matters_is_missed_in_the_printed_table(run):
    line, tail = (line for line in run.out.splitlines() if line.startswith("| no_blocks "))
    assert line.count("|") == tail.count("|") + 1  # the costs stand once
    _, _, value, difference, interval, seconds, _ = (part.strip() for part in line.split("|"))
    [record] = [record for record in table_of(run)["rows"] if record["ablation"] == "no_blocks"]
    assert float(value) == pytest.approx(record["all"], abs=5e-5)
    assert float(difference) == pytest.approx(record["all/difference"], abs=5e-5)
    low, high = (float(bound) for bound in interval.strip("[]").split(","))
    assert low < float(difference) < high < 0
    assert float(seconds) >= 0
    assert "- no_blocks: blocks true → false" in run.out
    assert "Ablations of rough-parts@quick (scratch) on tiny, protocol random" in run.out


def test_rows_of_the_leaderboard_are_named_after_their_ablation(run):
    assert "| rough-parts no_blocks " in run.out
    assert "| rough-parts@quick no_blocks (scratch) " in run.out  # by group
    assert max(len(line) for line in run.out.splitlines() if line.startswith("|")) <= 100
    [path] = [path for path in (run.folder / "leaderboards").glob("*.csv") if "ablations" not in path.name]
    frame = pd.read_csv(path, keep_default_na=False)
    assert set(frame["ablation"]) == {"", *GOOD, *BAD}
    assert frame["model"].is_unique


def test_leaderboard_makes_the_same_table_from_the_results_alone(run, bench):
    before = {path.name: path.read_text() for path in (run.folder / "leaderboards").iterdir()}
    assert sum("ablations" in name for name in before) == 3
    for path in (run.folder / "leaderboards").iterdir():
        path.unlink()
    done = bench("leaderboard", "--results", run.folder)
    assert {path.name: path.read_text() for path in (run.folder / "leaderboards").iterdir()} == before
    assert "| no_blocks " in done.out
    [document] = json.loads(bench("leaderboard", "--results", run.folder, "--json").out)
    assert document["ablations"] == [table_of(run)]


def test_compare_takes_an_ablation_by_its_name_and_a_model_as_the_whole_one(run, bench):
    for a in ("rough-parts no_blocks", "rough-parts@quick no_blocks"):
        done = bench("compare", a, "rough-parts", "--dataset", "tiny", "--results", run.folder, "--json")
        rows = {(row["group"], row["metric"]): row for row in json.loads(done.out)}
        [record] = [record for record in table_of(run)["rows"] if record["ablation"] == "no_blocks"]
        assert rows["all", "ndcg@10"]["difference"] == pytest.approx(record["all/difference"])


def test_named_ablations_alone_are_run_and_win_over_options(start_bench, rough_site, tmp_path):
    words = (*RUN, "--models", "rough-parts@paper", "--ablate", "no_strength", "--set", "rough-parts.strength=7")
    process = start_bench(*words, "--results", tmp_path, "--json", environment={"PYTHONPATH": str(rough_site)})
    out, _ = process.communicate(timeout=60)
    configs = {
        (result.cell.ablation and result.cell.ablation.name): result.cell.config for result in Store(tmp_path).results()
    }
    assert configs == {None: {"blocks": True, "strength": 7}, "no_strength": {"blocks": True, "strength": 0}}
    document = json.loads(out)
    [part] = document["ablations"]
    assert [row["ablation"] for row in part["rows"]] == ["", "no_strength"]
    assert [row["preset"] for row in document["rows"]] == ["paper", "paper"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--models", "rough-parts", "--ablate", "no_strenght"], "did you mean 'no_strength'"),
        (["--models", "rough-parts", "--ablate", "no_strength,x"], "unknown ablation of rough-parts 'x'"),
        (["--models", "rough-parts", "--ablate", ","], "no ablation was named: give names, or --ablate alone"),
        (["--models", "rough-healthy,pop", "--ablate"], "no model of --models has ablations: rough-healthy, pop"),
    ],
)
def test_mistake_is_one_line_before_anything_runs(start_bench, rough_site, tmp_path, words, said):
    process = start_bench(*RUN, *words, "--results", tmp_path, environment={"PYTHONPATH": str(rough_site)})
    _, err = process.communicate(timeout=60)
    [line] = err.strip().splitlines()
    assert process.returncode == 1
    assert said in line
    assert list(tmp_path.iterdir()) == []


def test_info_lists_ablations_with_what_they_change(start_bench, rough_site):
    process = start_bench("models", "info", "rough-parts", environment={"PYTHONPATH": str(rough_site)})
    out, _ = process.communicate(timeout=60)
    assert "--ablate no_blocks: blocks = false" in out
    assert '--ablate invalid: strength = "much"' in out


def test_python_api_refuses_to_ablate_a_model_without_parts(tiny_cards, tmp_path):
    with pytest.raises(BenchError, match="no model of --models has ablations: pop"):
        api.run("pop", "tiny", results=tmp_path, ablate=True)


def ablated(make_result, name, config, unablated, **fields):
    return make_result("a", config=config, ablation={"name": name, "unablated": unablated}, **fields)


def test_whole_model_of_an_ablation_is_the_one_it_was_made_from(make_result, tmp_path):
    """Two whole models, and an ablation that makes their configs the same: still two rows, each beside its own."""
    whole = [make_result("a", config={"l2": l2}) for l2 in (1, 2)]
    found = [ablated(make_result, "no_l2", {"l2": 0}, result.cell.config, status="failed") for result in whole]
    [table] = tables([*whole, *found])
    [part] = ablations.ablations(table, Store(tmp_path))
    rows = part.frame["row"].tolist()
    assert rows == [
        "whole model [l2=1]", "no_l2 [unablated l2=1]", "whole model [l2=2]", "no_l2 [unablated l2=2]",
    ]  # fmt: skip


def test_ablation_of_other_code_than_the_whole_model_is_left_out(make_result, tmp_path):
    [table] = tables(
        [make_result("a", config={"l2": 1}), ablated(make_result, "no", {"l2": 0}, {"l2": 1}, code="other")]
    )
    assert len(table.rows) == 2
    assert ablations.ablations(table, Store(tmp_path)) == []


def test_cell_without_ablation_is_its_own_whole(make_result):
    cell = make_result().cell
    assert cell.unablated is cell
    assert Cell.model_validate_json(cell.model_dump_json()).ablation is None


@pytest.mark.parametrize(("facts", "preset"), [({"backbone": "scratch"}, "quick (scratch)"), ({}, "quick")])
def test_backbone_stands_beside_the_preset(make_result, facts, preset):
    [table] = tables([make_result("a", 0.25, preset="quick", facts=facts), make_result("b", 0.5)])
    own = next(line for line in leaderboard.main(table).splitlines() if line.startswith("| a "))
    assert f"| {preset} |" in " ".join(own.split())
    assert f"| a@{preset} |" in " ".join(leaderboard.by_group(table).split())
    [_, record] = table.frame().to_dict("records")
    assert (record["preset"], record["backbone"]) == ("quick", facts.get("backbone", ""))
