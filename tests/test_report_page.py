"""``bench report``: what the page holds, and that its files hold the same."""

import csv
import itertools
import json
import math
import statistics
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.errors import ResultsError
from bench.messages.study import Study, Trial
from bench.report.page.build import build, by_history
from bench.report.page.files import write
from bench.report.page.html import SCRIPTS, STYLES, html
from bench.report.page.lists import spread
from bench.report.references import references
from bench.runs.store import Store
from bench.runs.studies import study_path

PUBLISHED = Path(__file__).parent.parent / "results" / "published"
NORMAL = 1.959963984540054
HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">| שלום 🙂 \u202e'


@pytest.fixture
def keep(tmp_path):
    """Store results in a folder below the test's own, with values per user where they are given."""

    def kept(*results, folder="results", values=None):
        store = Store(tmp_path / folder)
        for result in results:
            store.path(result.cell_id).mkdir(parents=True)
            store.commit(result)
            if values is not None:
                frame = {"user": np.arange(len(values[result.cell.model])), "all/ndcg@10": values[result.cell.model]}
                pd.DataFrame(frame).to_parquet(store.path(result.cell_id) / "per_user.parquet")
        return store.root

    return kept


def with_groups(result, scores, n=100, error=0.01):
    """The result with these means: ``{group: {metric: value}}``."""
    groups = {}
    for name, own in scores.items():
        told = {"rule": name, "members": name, "n": n, "metrics": own, "errors": dict.fromkeys(own, error)}
        groups[name] = result.groups["all"].model_copy(update=told)
    return result.model_copy(update={"groups": groups})


class Elements(HTMLParser):
    """Tags of a page as a browser finds them, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self._inside = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._inside = dict(attrs).get("id") if tag == "script" else None

    def handle_data(self, data):
        if self._inside:
            self.scripts[self._inside] = self.scripts.get(self._inside, "") + data


def data(text):
    return json.loads(Elements(text).scripts["data"])


def lines_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_have_means_and_intervals_of_users_and_seeds(keep, make_result):
    scores = [0.2, 0.5, 0.35]
    one = with_groups(make_result("one"), {"all": {"ndcg@10": 0.4}})
    many = [with_groups(make_result("many", seed=i), {"all": {"ndcg@10": score}}) for i, score in enumerate(scores)]
    page = build([keep(one, *many)])
    [table] = page.tables
    rows = {row.model: row for row in table.rows}
    assert rows["one"].means["all"] == [0.4]
    assert rows["one"].half_widths["all"] == [pytest.approx(NORMAL * 0.01)]
    assert rows["one"].runs == {}
    assert rows["many"].means["all"] == [pytest.approx(statistics.mean(scores))]
    assert rows["many"].runs["all"] == [[score] for score in scores]
    seeds = statistics.stdev(scores) / math.sqrt(3)
    # bench/evaluation/intervals.py, with Student's quantiles of a table: two degrees of freedom, and slightly more.
    low, high = NORMAL * math.hypot(0.01, seeds), 4.302653 * math.hypot(0.01, seeds)
    assert low < rows["many"].half_widths["all"][0] < high
    assert rows["many"].half_widths["all"][0] == pytest.approx(4.302653 * seeds, rel=0.02)


def test_level_rows_and_pairs_are_those_of_the_values_per_user(keep, make_result):
    noise = np.random.default_rng(0).normal(size=400) / 100
    values = {"a": 0.5 + noise, "b": 0.5 + noise[::-1], "c": 0.2 + noise}
    results = [
        with_groups(make_result(model, deterministic=True), {"all": {"ndcg@10": float(own.mean())}}, n=400)
        for model, own in values.items()
    ]
    [table] = build([keep(*results, values=values)]).tables
    ranks = {row.model: row.ranks["all"] for row in table.rows}
    assert ranks == {"a": (1, 2), "b": (1, 2), "c": (3, 3)}
    for pair in table.pairs["all"]:
        a, b = (values[table.rows[i].model] for i in (pair.a, pair.b))
        assert pair.difference == pytest.approx(float((a - b).mean()), abs=1e-12)
        assert pair.half_width == pytest.approx(NORMAL * (a - b).std(ddof=1) / 20)
        assert (pair.p < 0.05) == ("c" in {table.rows[pair.a].model, table.rows[pair.b].model})


def same_numbers(page, document, table):
    """How many numbers of the rows and pairs of a page stand in the files beside it, to the digit."""
    told = {
        tuple(line[key] for key in ("table", "row", "other", "group", "quantity")): line for line in lines_of(table)
    }
    held = data(page.read_text())
    assert held == json.loads(document.read_text())
    count = 0

    def check(*key, value):
        nonlocal count
        written = told[key]["value"]
        assert (written == "") if value is None else (float(written) == value), key
        count += 1

    for one in held["tables"]:
        for row in one["rows"]:
            where = (one["name"], inert(row["name"]), "")
            for group, means in row["means"].items():
                runs = dict(zip(row["source"]["runs"], row["runs"].get(group, []), strict=False))
                for i, metric in enumerate(one["metrics"]):
                    check(*where, inert(group), metric, value=means[i])
                    check(*where, inert(group), f"{metric}/half_width", value=row["half_widths"][group][i])
                    for run, values in runs.items():
                        check(*where, inert(group), f"{metric}/{run}", value=values[i])
            for name, value in {**row["costs"], **row["looks"]}.items():
                check(*where, "", name, value=value)
            for group, ranks in row["ranks"].items():
                for name, value in zip(("first", "last"), ranks, strict=True):
                    check(*where, inert(group), f"{one['first']}/rank_{name}", value=value)
        for group, pairs in one["pairs"].items():
            for pair in pairs:
                where = (one["name"], *(inert(one["rows"][pair[letter]]["name"]) for letter in "ab"), inert(group))
                for name, key in (("", "difference"), ("/half_width", "half_width"), ("/p", "p")):
                    check(*where, f"{one['first']}/difference{name}", value=pair[key])
    return count


def inert(text):
    """As a spreadsheet is given it."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def test_page_json_and_csv_hold_the_same_numbers_to_the_digit(keep, make_result, tmp_path):
    rng = np.random.default_rng(1)
    values = {name: rng.random(50) for name in "ab"}
    results = []
    for name, seed in itertools.product("ab", (1, 2)):
        own = {"ndcg@10": float(values[name].mean()), "recall@10": rng.random()}
        result = make_result(name, seed=seed, beyond={"gini@10": rng.random()})
        results.append(with_groups(result, {"all": own, "head": {"ndcg@10": rng.random()}}, n=50))
    paths = write(build([keep(*results, values=values)]), tmp_path / "out" / "page.html")
    assert [path.name for path in paths] == ["page.html", "page.json", "page.csv"]
    # 2 rows of 2 groups, 2 metrics, mean, half-width and 2 runs; 4 costs and looks, 2 ranks in one group; 3 of the pair
    assert same_numbers(*paths) == 2 * (2 * 2 * 4 + 4 + 2) + 3


@pytest.mark.slow
def test_numbers_of_the_published_tables_are_in_the_files(tmp_path):
    assert same_numbers(*write(build([PUBLISHED]), tmp_path / "page.html")) > 1000


def test_hostile_texts_stay_texts(keep, make_result, tmp_path):
    told = {"command": HOSTILE, "warnings": [HOSTILE], "facts": {HOSTILE: HOSTILE}, "packages": {HOSTILE: HOSTILE}}
    row = make_result(f"m{HOSTILE}", preset="=cmd()", config={HOSTILE: HOSTILE}, hardware={"cpu": HOSTILE}, **told)
    row = with_groups(row, {"all": {"ndcg@10": 0.4}, HOSTILE: {"ndcg@10": 0.3}})
    failed = make_result("=1+1", status="failed", reason=HOSTILE)
    root = keep(row, failed)
    (Store(root).path(failed.cell_id) / "worker.log").write_text(f"{HOSTILE}\n\x1b[31mred")
    page, document, table = write(build([root]), tmp_path / "page.html")
    found = Elements(page.read_text())
    assert found.tags.count("script") == 3
    assert set(found.tags) <= {"html", "head", "meta", "title", "style", "body", "noscript", "header", "main", "script"}
    rows = json.loads(found.scripts["data"])["tables"][0]["rows"]
    assert rows[0]["model"] == " ".join(
        f"m{HOSTILE}".replace("\u202e", "\ufffd").split()
    )  # a sign that turns lines round
    assert rows[1]["failures"][0]["reason"].startswith("</script><script>alert(1)")
    assert rows[1]["failures"][0]["log"][-1] == "\ufffd[31mred"
    assert "\u202e" not in page.read_text() + document.read_text() + table.read_text()
    cells = [cell for line in lines_of(table) for cell in line.values()]
    assert any(cell.startswith("'=") for cell in cells)
    assert not any(cell.startswith(("=", "+", "@")) for cell in cells)


def test_page_loads_nothing_and_runs_no_other_script(keep, make_result):
    text = html(build([keep(make_result("a"))]))
    assert "default-src 'none'" in text
    assert "http-equiv" in text
    assert 'src="' not in text.partition("<script")[0]
    assert "@import" not in text
    assert "url(" not in text
    own = {"http://www.w3.org/2000/svg"}
    assert all(f'"{address}"' in text for address in own)
    assert text.count("http://") + text.count("https://") == len(own)


def test_records_that_cannot_be_read_are_told(keep, make_result):
    good, damaged, foreign, older, half = (
        make_result(name) for name in ("good", "damaged", "foreign", "older", "half")
    )
    root = keep(good, damaged, foreign, older)
    store = Store(root)
    text = (store.path(damaged.cell_id) / "result.json").read_text()
    (store.path(damaged.cell_id) / "result.json").write_text(text[: len(text) // 2])
    (store.path(foreign.cell_id) / "result.json").write_text(good.model_dump_json())
    (store.path(older.cell_id) / "result.json").write_text(
        older.model_dump_json().replace('"schema_version":2', '"schema_version":1')
    )
    store.path(half.cell_id).mkdir()
    (store.path(half.cell_id) / ".result.json.host.1.ab.draft").write_text("{")
    (store.cells / "notes.txt").write_text("mine")
    page = build([root])
    assert [row.model for row in page.tables[0].rows] == ["good"]
    for result in (damaged, foreign, older):
        assert sum(result.cell_id in line for line in page.left_out) == 1
    assert any(line.startswith("1 folders") for line in page.left_out)
    assert len(page.left_out) == 4


def test_older_runs_of_a_row_are_told(keep, make_result):
    old, new = make_result("a", 0.2, code="o" * 64), make_result("a", 0.3, created="2026-02-01T00:00:00+00:00")
    page = build([keep(old, new)])
    assert [row.means["all"][0] for row in page.tables[0].rows] == [0.3]
    assert page.left_out == ["1 older runs, replaced by newer ones of the same rows"]


def test_rows_say_in_which_environment_they_ran(keep, make_result):
    old = {"distribution": "old-models", "version": "2", "environment": "numpy-1"}
    page = build([keep(make_result("a", 0.2), make_result("b", 0.1, plugin=old))])
    assert [row.source.plugin for row in page.tables[0].rows] == ["d 1", "old-models 2 in its environment numpy-1"]


def test_several_folders_make_one_table_and_rows_say_where_they_are_from(keep, make_result):
    own = keep(make_result("a", 0.5), make_result("c", 0.3, seed=1))
    other = keep(
        make_result("a", 0.5),
        make_result("b", 0.4),
        make_result("c", 0.1, seed=2),
        make_result("d", 0.1),
        folder="published",
    )
    page = build([own, other])
    [table] = page.tables
    assert page.folders == ["own", "published"]
    assert {row.model: row.origins for row in table.rows} == {
        "a": ["own"], "b": ["published"], "c": ["own", "published"], "d": ["published"],
    }  # fmt: skip
    assert build([own]).folders == ["own"]


def test_folders_of_one_name_are_called_by_their_paths(keep, make_result, tmp_path):
    roots = [keep(make_result(name), folder=f"{name}/results") for name in "abc"]
    assert build(roots).folders == ["own", str(roots[1]), str(roots[2])]
    own = keep(make_result("d"), folder="own")
    assert build([roots[0], own, roots[0]]).folders == ["own", str(own)]


def test_folder_that_holds_no_results_is_an_error(keep, make_result, tmp_path):
    with pytest.raises(ResultsError, match=r"no results in .*nowhere/cells: make some with 'bench run'"):
        build([keep(make_result("a")), tmp_path / "nowhere"])


def test_tuned_row_is_joined_to_its_default_and_the_curve_rises(keep, make_result):
    before, after = (
        make_result("a", 0.4, config={"x": 1, "y": 2}),
        make_result("a", 0.5, preset="tuned", config={"x": 4, "y": 2}),
    )
    root = keep(before, after)
    cell = after.cell
    scores = [0.1, None, 0.3, 0.2, 0.4]
    trials = [Trial(number=i, options={"x": i}, score=s, seconds=1.5, cell="c") for i, s in enumerate(scores)]
    known = {"dataset": cell.dataset, "fingerprint": cell.fingerprint, "metric": "ndcg@10", "seed": 1, "code": "c"}
    study = Study(model="a", preset="default", space={}, config={"x": 1, "y": 2}, trials=trials, **known)
    path = study_path(root, cell.dataset, "a", cell.fingerprint)
    path.parent.mkdir()
    path.write_text(study.model_dump_json())
    [table] = build([root]).tables
    [tuned] = [row for row in table.rows if row.preset == "tuned"]
    assert tuned.untuned == "a"
    assert [(one.field, one.before, one.now) for one in tuned.source.changes] == [("x", 1, 4)]
    [part] = table.tuning
    assert part.best == [0.1, 0.1, 0.3, 0.3, 0.4]
    assert (part.seconds, part.options, part.test) == (7.5, {"x": "4"}, (0.4, 0.5))
    path.write_text(study.model_copy(update={"trials": trials[:3]}).model_dump_json())
    [table] = build([root]).tables
    assert table.tuning[0].test is None  # the row has not its config
    path.write_text("{")
    [table] = build([root]).tables
    assert table.tuning == []
    assert any(str(path) in note for note in table.notes)


def test_figures_of_others_are_those_of_the_cards(keep, make_result, monkeypatch, tmp_path):
    card = next(card for card in references().values() if any(figure.sd for figure in card.figures))
    monkeypatch.setattr("bench.report.verdict.matching", lambda table: [card])
    paths = write(build([keep(make_result("a"))]), tmp_path / "page.html")
    [table] = json.loads(paths[1].read_text())["tables"]
    assert [one["model"] for one in table["references"]] == [figure.model for figure in card.figures]
    told = {(line["other"], line["quantity"]): float(line["value"]) for line in lines_of(paths[2]) if line["other"]}
    for figure in card.figures:
        for metric, mean in figure.metrics.items():
            assert told[f"{figure.model} ({card.origin})", metric] == mean
        for metric, deviation in figure.sd.items():
            assert told[f"{figure.model} ({card.origin})", f"{metric}/sd"] == deviation


def test_only_failed_rows_make_a_page(keep, make_result):
    [table] = build([keep(make_result("a", status="failed"))]).tables
    assert (table.metrics, table.groups, table.pairs) == ([], [], {})
    assert table.rows[0].failures[0].reason == "it broke"


def test_large_page_is_below_five_megabytes(make_result, keep):
    rng = np.random.default_rng(2)
    metrics = [
        f"{name}@{k}" for name in ("ndcg", "recall", "mrr", "hit", "precision", "map") for k in (1, 5, 10, 20, 50)
    ]
    groups = ["all", "long tail", "head", "10-19", "20+"]
    results = [
        with_groups(
            make_result(f"model-{i:03}"),
            {group: dict(zip(metrics, rng.random(30).tolist(), strict=True)) for group in groups},
        )
        for i in range(300)
    ]
    page = build([keep(*results)])
    assert [len(page.tables[0].rows), len(page.tables[0].groups), len(page.tables[0].metrics)] == [300, 5, 30]
    assert len(html(page).encode()) < 5e6


def test_code_of_the_page_is_small():
    from bench.report.page.html import asset

    assert sum(len(asset(name)) for name in SCRIPTS) < 60_000
    assert max(asset(name).count("\n") for name in SCRIPTS) < 220
    assert sum(len(asset(name)) for name in STYLES) < 20_000


def test_groups_by_history_are_the_finest_division():
    bins, quartiles = ["0-4", "5-9", "10-19", "20+"], ["Q1", "Q2", "Q3", "Q4"]
    assert by_history(["all", "long tail", *bins, "mine"]) == bins
    assert by_history(["all", *bins[2:], *quartiles]) == quartiles
    assert by_history([*bins, *[f"D{i}" for i in range(1, 11)]]) == [f"D{i}" for i in range(1, 11)]


def test_users_are_spread_over_lengths_of_history():
    lengths = np.random.default_rng(3).integers(0, 50, 500)
    found = spread(lengths, 11)
    expected = np.sort(lengths)[[0, 50, 100, 150, 200, 250, 299, 349, 399, 449, 499]]
    assert np.abs(lengths[found] - expected).max() <= 1
    assert len(set(found.tolist())) == 11
    assert sorted(spread(lengths[:4], 11).tolist()) == [0, 1, 2, 3]
