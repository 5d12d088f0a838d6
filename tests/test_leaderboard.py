"""Leaderboards are a pure function of results."""

import json
import math
import random
import statistics
from pathlib import Path

import pandas as pd
import pytest

from bench.report import leaderboard
from bench.report.leaderboard import main, notes
from bench.report.numbers import number
from bench.report.table import tables
from bench.report.verdict import Verdict
from bench.runs.store import Store


def only(results):
    [table] = tables(results)
    return table


def test_rows_are_ordered_by_score_with_failed_ones_last(make_result):
    table = only([make_result("a", 0.1), make_result("b", status="failed"), make_result("c", 0.3)])
    assert [row.model for row in table.rows] == ["c", "a", "b"]
    frame = table.frame()
    assert frame["status"].tolist() == ["finished", "finished", "failed"]
    assert frame["reason"].tolist() == ["", "", "it broke"]
    assert math.isnan(frame["all/ndcg@10"].iloc[2])


def test_seeds_are_aggregated(make_result):
    scores = [0.2, 0.5, 0.3]
    table = only([make_result("a", score, seed=seed) for seed, score in enumerate(scores)])
    [row] = table.frame().to_dict("records")
    assert row["seeds"] == 3
    assert row["all/ndcg@10"] == pytest.approx(statistics.mean(scores))
    assert row["all/ndcg@10/sd_runs"] == pytest.approx(statistics.stdev(scores))
    assert row["all/ndcg@10/se_users"] == pytest.approx(0.01)


def test_costs_of_an_epoch_and_parameters_are_told_where_they_are_known(make_result):
    phases = {name: {"seconds": 12.0, "peak_mib": 1.0} for name in ("import", "fit", "recommend")}
    trained = [
        {"stage": stage, "epoch": epoch, "score": 0.1, "improved": True}
        for stage, last in (("vectors", 2), ("lists", 4))
        for epoch in range(1, last + 1)
    ]
    table = only([
        make_result("a", 0.3, seed=1, phases=phases, validations=trained, facts={"parameters": 700}),
        make_result("a", 0.3, seed=2, phases=phases, validations=trained[:3], facts={"parameters": 700}),
        make_result("b", 0.2),
    ])  # fmt: skip
    first, second = table.frame().to_dict("records")
    assert (first["parameters"], first["epoch_seconds"]) == (700, (12 / 6 + 12 / 3) / 2)
    assert math.isnan(second["parameters"])
    assert math.isnan(second["epoch_seconds"])


def test_failed_seed_beside_finished_ones_is_told(make_result):
    table = only([make_result("a", 0.2, seed=1), make_result("a", seed=2, status="failed")])
    [row] = table.frame().to_dict("records")
    assert (row["seeds"], row["failed_runs"], row["all/ndcg@10"]) == (1, 1, 0.2)
    assert "a seed 2 failed: it broke" in leaderboard.markdown(table)


def test_different_fingerprints_never_share_a_table(make_result):
    found = tables([make_result("a"), make_result("a", fingerprint="e" * 64), make_result("a", dataset="other")])
    assert len(found) == 3
    assert len({table.name for table in found}) == 3


def test_variants_are_told_apart_by_what_differs(make_result):
    table = only([
        make_result("a", 0.3, config={"l2": 1.0, "k": 5}),
        make_result("a", 0.2, config={"l2": 2.0, "k": 5}),
        make_result("b", 0.1, config={"x": 1}),
    ])  # fmt: skip
    assert [row.name for row in table.rows] == ["a [l2=1]", "a [l2=2]", "b"]


def test_names_hold_the_fewest_settings_and_the_rest_stands_below(make_result):
    configs = [
        {"size": 64, "rate": 0.3, "draws": 8, "decay": 0.1},
        {"size": 128, "rate": 0.3, "draws": 8, "decay": 0.1},
        {"size": 64, "rate": 0.2, "draws": 4, "decay": 0.0},
    ]
    table = only([make_result("a", 0.3 - n / 10, config=config) for n, config in enumerate(configs)])
    assert [row.name for row in table.rows] == [
        "a [size=64, rate=0.3, 2 more]",
        "a [size=128, 3 more]",
        "a [rate=0.2, 3 more]",
    ]
    page = leaderboard.markdown(table)
    assert "- a [rate=0.2, 3 more] has size=64, rate=0.2, draws=4, decay=0" in page
    assert "- a [size=64, rate=0.3, 2 more] has size=64, rate=0.3, draws=8, decay=0.1" in page


def test_of_settings_that_tell_as_much_older_rows_lack_the_other(make_result):
    configs = [{"added": 0, "later": 0, "size": 128}, {"size": 64}]
    table = only([make_result("a", 0.3 - n / 10, config=config) for n, config in enumerate(configs)])
    assert [row.name for row in table.rows] == ["a [size=128, 2 more]", "a [size=64]"]


def test_row_that_only_lacks_settings_of_others_is_named_by_all_it_has(make_result):
    """As of a config that has more fields since."""
    shared = {"size": 1, "rate": 2, "decay": 3}
    table = only([
        make_result("a", 0.3, config=shared),
        make_result("a", 0.2, config={**shared, "new": 4}),
        make_result("a", 0.1, config={"size": 9, "rate": 9, "decay": 9}),
    ])  # fmt: skip
    names = [row.name for row in table.rows]
    assert names == ["a [size=1, 2 more]", "a [new=4, 3 more]", "a [size=9, 2 more]"]


def test_configs_that_differ_have_names_that_differ(make_result):
    draw = random.Random(1)
    for _ in range(100):
        configs = {tuple(draw.choices(range(3), k=5)) for _ in range(draw.randint(2, 7))}
        table = only([make_result("a", config=dict(zip("vwxyz", config, strict=True))) for config in configs])
        assert len({row.name for row in table.rows}) == len(configs)


@pytest.mark.parametrize(
    ("one", "other"), [({"device": "cpu"}, {"device": "cuda"}), ({"time_budget": 5.5}, {"time_budget": None})], ids=str
)
def test_device_and_budget_make_variants(make_result, one, other):
    table = only([make_result("a", 0.2, **one), make_result("a", 0.1, **other)])
    [(key, value)] = one.items()
    assert [row.name for row in table.rows] == [f"a [{key}={value}]", f"a [{key}={other[key]}]"]


@pytest.mark.parametrize(
    ("rates", "told"),
    [
        ((0.30000000000000004, 0.1), ("0.3", "0.1")),
        ((0.0032984712, 0.0032991), ("0.003298", "0.003299")),
        ((0.1, 0.10000000000000002), ("0.10000000000000001", "0.10000000000000002")),
        ((1e-5, None), ("1e-05", "None")),
    ],
    ids=str,
)
def test_numbers_in_names_are_as_long_as_tells_them_apart(make_result, rates, told):
    table = only([make_result("a", 0.2 + n / 100, config={"rate": rate}) for n, rate in enumerate(rates)])
    assert {row.name for row in table.rows} == {f"a [rate={rate}]" for rate in told}


def test_presets_have_rows_of_their_own(make_result):
    table = only([make_result("a", 0.2, preset="quick"), make_result("a", 0.3, preset="paper", config={"n": 2})])
    assert [row.name for row in table.rows] == ["a@paper", "a@quick"]


def test_newest_code_of_a_model_counts(make_result):
    old = [make_result("a", 0.9, seed=seed, created="2025-01-01T00:00:00+00:00") for seed in (1, 2)]
    new = make_result("a", 0.1, seed=1, code="other")
    [row] = only([new, *old]).rows
    assert row.results == [new]


def test_order_of_results_does_not_matter(make_result):
    results = [make_result(model, score, seed=seed) for model, score in (("a", 0.1), ("b", 0.2)) for seed in (1, 2, 3)]
    expected = leaderboard.markdown(only(results))
    for seed in range(5):
        random.Random(seed).shuffle(results)
        assert leaderboard.markdown(only(results)) == expected


def test_page_shows_rules_sizes_reasons_and_offences(make_result):
    table = only([
        make_result("good", 0.25, command="bench run --models good"),
        make_result("cheat", 0.1, violations={"excluded": 1200, "short": 0}),
        make_result("late", 0.2, stopped_by_budget=True, time_budget=9.0, facts={"caveat": "half\nread"}),
        make_result("gone", status="failed"),
    ])  # fmt: skip
    page = leaderboard.markdown(table)
    for text in (
        "Per-user random 8:1:1", "split seed 2024", "all users, n = 40", ".2500 ±.0196", "gone seed 1 failed: it broke",
        "cheat broke the contract in these slots: 1,200 excluded",
        "late was stopped by its time budget of 9 processor seconds", "late: half read", "    bench run --models good",
    ):  # fmt: skip
        assert text in page
    assert "head" not in leaderboard.by_group(table)  # a group without users has no column


@pytest.mark.parametrize(("head", "tail", "gap"), [(0.3, 0.25, "+.0500"), (0.2, 0.25, "-.0500")])
def test_how_far_the_long_tail_is_behind_has_a_column(make_result, head, tail, gap):
    groups = make_result("a", 0.25).groups
    told = {name: groups["all"].model_copy(update={"metrics": {"ndcg@10": mean}, "n": 20 + len(name)})
            for name, mean in (("long tail", tail), ("head", head))}  # fmt: skip
    shown = leaderboard.by_group(only([make_result("a", 0.25, groups={"all": groups["all"], **told})]))
    heads, _, row = ([cell.strip() for cell in line.split("|")] for line in shown.splitlines())
    assert dict(zip(heads, row, strict=True))["head − tail"] == gap


def test_terminal_is_at_most_100_columns_wide(make_result):
    shown = leaderboard.terminal(only([make_result("lightgcn", 0.25)]), Store(Path("results")))
    assert max(len(line) for line in shown.splitlines()) <= 100


def test_tables_of_lists_fit_a_terminal(make_result, tmp_path):
    looks = {f"{name}@10": 0.5 for name in ("coverage", "gini", "popularity", "novelty", "niche", "ild", "ild-text")}
    table = only([make_result("a-recommender-with-a-long-name-of-its-own", 0.25, beyond=looks)])
    shown = leaderboard.terminal(table, Store(tmp_path))
    assert max(map(len, shown.splitlines())) <= 100
    heads = [line.split("|")[2:-1] for line in shown.splitlines() if line.startswith("| lists of 10")]
    assert [head.strip() for some in heads for head in some] == [name.removesuffix("@10") for name in looks]
    assert leaderboard.markdown(table).count("| lists of 10 ") == 1


def test_files_hold_the_same_table(make_result, tmp_path):
    table = only([make_result("a", 0.25), make_result("b", status="failed")])
    markdown, csv, document = leaderboard.write(table, tmp_path)
    assert markdown.read_text() == leaderboard.markdown(table)
    rows = json.loads(document.read_text())["rows"]
    frame = pd.read_csv(csv)
    assert frame["model"].tolist() == [row["model"] for row in rows] == ["a", "b"]
    assert frame["all/ndcg@10"].iloc[0] == rows[0]["all/ndcg@10"] == 0.25
    assert rows[1]["all/ndcg@10"] is None
    assert rows[0]["results"][0]["cell_id"] == table.rows[0].first.cell_id


LONG = "a-recommender-with-a-name-as-long-as-those-that-people-give-to-variants-of-variants"


def test_files_hold_whole_tables_and_the_terminal_says_what_it_drops(make_result, tmp_path):
    table = only([make_result(LONG, 0.25), make_result("b", 0.5)])
    page, csv, _ = leaderboard.write(table, tmp_path)
    shown = leaderboard.terminal(table, Store(tmp_path))
    heads = ["seeds", "ndcg@10", "recall@10", "mrr@10", "hit@10", "fit s", "rank s", "MiB"]
    assert all(f" {head} " in page.read_text() for head in heads)
    assert "not shown" not in page.read_text()
    assert {f"all/{head}" for head in heads[1:5]} <= set(pd.read_csv(csv).columns)
    [line] = [line for line in shown.splitlines() if line.startswith("not shown")]
    dropped = line.partition(": ")[2].split(", ")
    assert "ndcg@10" not in dropped
    assert {"recall@10", "mrr@10", "hit@10"} <= set(dropped) < set(heads)
    head = next(line for line in shown.splitlines() if line.startswith("| model"))
    assert all((f" {name} " in head) != (name in dropped) for name in heads)


def test_groups_of_the_file_are_one_table_and_have_their_sizes(make_result, tmp_path):
    result = make_result("a", 0.25)
    one = result.groups["all"].model_copy(update={"n": 1, "errors": {}, "members": "x", "rule": "some"})
    many = {f"a group with a long name, number {i}": one for i in range(12)}
    table = only([result.model_copy(update={"groups": {**result.groups, **many}})])
    page = leaderboard.write(table, tmp_path)[0].read_text()
    [heads] = [line for line in page.splitlines() if line.startswith("| ndcg@10")]
    assert heads.count("(n=1)") == 12
    assert "all (n=40)" in heads
    blocks = [
        line for line in leaderboard.terminal(table, Store(tmp_path)).splitlines() if line.startswith("| ndcg@10")
    ]
    assert len(blocks) > 1
    assert sum(block.count("(n=") for block in blocks) == 13
    assert max(map(len, blocks)) <= 100


def test_page_points_to_the_provenance_beside_it(make_result, tmp_path):
    page, _, document = leaderboard.write(only([make_result("a", 0.25)]), tmp_path)
    assert f"[{document.name}]({document.name})" in page.read_text()


def test_row_without_the_main_metric_stands_behind_the_others(make_result):
    other = make_result("b", 0.9)
    deep = other.groups["all"].model_copy(update={"metrics": {"ndcg@3": 0.9}, "errors": {}})
    table = only([other.model_copy(update={"groups": {"all": deep}}), make_result("a", 0.1), make_result("c", 0.2)])
    assert [row.model for row in table.rows] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("caveat", "said"), [(None, []), (7, ["pop: 7"]), (["a"], ["pop: ['a']"]), ("few", ["pop: few"])]
)
def test_whatever_a_plugin_notes_as_its_caveat_is_a_line(make_result, caveat, said):
    [table] = tables([make_result("pop", personalized=False, facts={"caveat": caveat})])
    assert notes(table, Verdict()) == said


def test_a_row_without_a_rank_has_an_interval_over_seeds(make_result):
    """Of three seeds, whose spread is far above the error over users: Student's t of two degrees of freedom."""
    runs = [make_result("own", score, seed=seed) for seed, score in enumerate((0.4, 0.5, 0.6))]
    [table] = tables(runs)
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert table.rows[0].half_widths("all", ["ndcg@10"])[0] == pytest.approx(half, rel=0.02)
    assert f".5000 ±{number(table.rows[0].half_widths('all', ['ndcg@10'])[0])}" in main(table)


def test_what_went_wrong_in_some_runs_is_told_of_these(make_result):
    """Of all runs it is told of the row."""
    lines = {1: ["slow disk", "odd"], 2: ["slow disk"], 3: ["slow disk", "odd"]}
    [table] = tables([make_result("a", seed=seed, warnings=own) for seed, own in lines.items()])
    page = leaderboard.markdown(table)
    assert "- a: slow disk\n" in page
    assert "- a seed 1, seed 3: odd\n" in page
