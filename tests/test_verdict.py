"""What a table tells apart: ranks, the group that is level with the best, and how it is shown."""

import json

import numpy as np
import pandas as pd
import pytest

from bench.report import leaderboard
from bench.report.compare import compare
from bench.report.table import tables
from bench.report.verdict import verdict
from bench.runs.store import Store

USERS = 400
GROUPS = {"all": slice(None), "long tail": slice(0, 100)}


@pytest.fixture
def kept(tmp_path, make_result):
    """Store rows of given values (S, n) per user: of S seeds, or of a model without seeds if there is one."""

    def keep(**rows):
        store = Store(tmp_path)
        for name, values in rows.items():
            for seed, scores in enumerate(np.atleast_2d(values)):
                result = make_result(name, 0.5, seed=seed, deterministic=np.ndim(values) == 1)
                known = result.groups["all"]
                frame, groups = {"user": np.arange(USERS)}, {}
                for group, chosen in GROUPS.items():
                    own = np.full(USERS, np.nan)
                    own[chosen] = scores[chosen]
                    frame |= {f"{group}/{metric}": own for metric in known.metrics}
                    told = {"n": len(scores[chosen]), "metrics": dict.fromkeys(known.metrics, scores[chosen].mean())}
                    groups[group] = known.model_copy(update={**told, "rule": group, "members": group})
                result = result.model_copy(update={"groups": groups})
                store.path(result.cell_id).mkdir(parents=True)
                store.commit(result)
                pd.DataFrame(frame).to_parquet(store.path(result.cell_id) / "per_user.parquet")
        [table] = tables(store.results())
        return table, verdict(table, store), store

    return keep


def scores(mean, tail=None, seed=0):
    """Values per user around a mean, and another for the first hundred."""
    noise = 0.1 * np.random.default_rng(seed).normal(size=USERS)
    means = np.full(USERS, mean)
    means[:100] = mean if tail is None else tail
    return means + noise - noise.mean()


def test_ranks_say_what_can_be_told_apart_in_each_group(kept):
    table, found, _ = kept(a=scores(0.50, tail=0.3), b=scores(0.49, tail=0.6, seed=1), c=scores(0.2, seed=2))
    shown = {key: str(standing) for key, standing in found.standings.items()}
    assert [row.name for row in table.rows] == ["b", "a", "c"]
    assert shown == {
        ("a", "all"): "2", ("b", "all"): "1", ("c", "all"): "3",
        ("a", "long tail"): "2", ("b", "long tail"): "1", ("c", "long tail"): "3",
    }  # fmt: skip
    table, found, _ = kept(d=scores(0.50, tail=0.59, seed=3))
    assert {row: str(found.standings[row, "all"]) for row in "abcd"} == {"a": "3", "b": "1–2", "c": "4", "d": "1–2"}
    assert [row for row in "abcd" if found.level(row, "all")] == ["b", "d"]


def test_seeds_that_swing_take_the_ranks_away(kept):
    """One and the same mean, and users who never differ by more: three seeds of .3, .5 and .7 may be anything."""
    steady = np.stack([scores(0.5, seed=1)] * 3)
    swinging = np.stack([scores(mean, seed=1) for mean in (0.3, 0.5, 0.7)]) - 0.1
    table, found, _ = kept(a=steady, b=swinging)
    assert {str(found.standings[row, "all"]) for row in "ab"} == {"1–2"}
    assert found.standings["b", "all"].half_width > 10 * found.standings["a", "all"].half_width
    page = leaderboard.markdown(table, found)
    assert "b: its seeds swing, from .2000 to .6000" in page
    assert "a: its seeds swing" not in page


def test_one_row_has_an_interval_and_no_rank(kept):
    table, found, _ = kept(a=scores(0.5))
    assert not found.compares
    page = leaderboard.markdown(table, found)
    assert "rank:" not in page
    assert "| rank |" not in page
    assert f"±{found.standings['a', 'all'].half_width:.4f}".replace("0.", ".") in page


def test_page_and_files_show_the_ranks(kept, tmp_path):
    table, found, _ = kept(a=scores(0.5), b=scores(0.5, seed=1), c=scores(0.2, seed=2)[None].repeat(2, axis=0))
    _, csv, document = leaderboard.write(table, tmp_path, found)
    page = leaderboard.markdown(table, found)
    for row, rank in (("a", "= 1–2"), ("b", "= 1–2"), ("c", "3")):
        line = next(line for line in page.splitlines() if line.startswith(f"| {row} "))
        assert line.split("|")[4].strip() == rank
    assert "= is level with the best" in page
    median, least = (f"{value:.4f}".replace("0.", ".") for value in found.detectable)
    assert f"a difference below {median} would mostly not show by itself" in page
    assert f"for the two rows that are most alike, one below {least}." in page
    rows = json.loads(document.read_text())["rows"]
    assert [(row["all/ndcg@10/rank_first"], row["all/ndcg@10/rank_last"]) for row in rows] == [(1, 2), (1, 2), (3, 3)]
    frame = pd.read_csv(csv)
    assert frame["long tail/ndcg@10/half_width"].iloc[0] == pytest.approx(found.standings["a", "long tail"].half_width)


def test_rows_of_one_seed_are_compared_with_an_assumed_spread(kept):
    """Ten per cent apart, users who hardly differ: not told apart, as another seed may move each by five."""
    even = 0.001 * scores(0.0)
    table, found, _ = kept(a=(0.55 + even)[None], b=(0.5 + even)[None], c=(0.3 + even)[None])
    assert {row: str(found.standings[row, "all"]) for row in "abc"} == {"a": "1–2", "b": "1–2", "c": "3"}
    assert found.standings["a", "all"].half_width < 0.001
    assert "rank assumes a spread over seeds of 5%" in leaderboard.markdown(table, found)


def several(spread):
    """Five rows of three seeds whose means spread by so much of them, of users who hardly differ."""
    steps = [np.array([-spread, 0, spread]) * factor for factor in (0.8, 0.9, 1, 1.1, 1.2)]
    return {
        name: np.stack([mean * (1 + step) + 0.001 * scores(0.0) for step in own])
        for (name, mean), own in zip({"p": 0.2, "q": 0.22, "r": 0.24, "s": 0.26, "t": 0.28}.items(), steps, strict=True)
    }


def test_few_seeds_of_many_rows_tell_apart_what_those_of_two_do_not(kept, tiny_cards):
    """Means six per cent apart, seeds that spread by one: by two seeds of two rows alone, anything is possible."""
    even = 0.001 * scores(0.0)
    means = {"a": 0.53, "b": 0.5}
    two = {name: np.stack([mean * (1 + step) + even for step in (-0.01, 0.01)]) for name, mean in means.items()}
    _, found, _ = kept(**two)
    assert {str(found.standings[row, "all"]) for row in "ab"} == {"1–2"}
    _, found, store = kept(**several(0.01))
    assert [str(found.standings[row, "all"]) for row in "ab"] == ["1", "2"]
    # Of other metrics too, by what results tell of their seeds.
    lines = compare(store, "a", "b", "tiny").frame
    whole = lines.loc[lines["group"] == "all", ["low", "high"]].to_numpy()
    np.testing.assert_allclose(whole, whole[:1].repeat(len(whole), axis=0))


@pytest.mark.parametrize(("spread", "assumed"), [(0.005, 0.05), (0.08, 0.10)])
def test_what_is_assumed_of_one_seed_is_never_less_than_others_show(kept, tiny_cards, spread, assumed):
    even = 0.001 * scores(0.0)
    table, found, store = kept(a=(0.55 + even)[None], b=(0.45 + even)[None], **several(spread))
    told = table.seed_spread("all", ["ndcg@10"])
    assert told.assumed[0] == pytest.approx(assumed, abs=0.01)
    said = f"a spread over seeds of {told.assumed[0]:.1%}".replace(".0%", "%")
    assert f"rank assumes {said}" in leaderboard.markdown(table, found)
    assert f"a and b: one seed, {said} is assumed" in compare(store, "a", "b", "tiny").text()


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_two_seeds_are_said_to_be_few(kept, seeds):
    table, found, _ = kept(a=np.stack([scores(0.5, seed=seed) for seed in range(seeds)]), b=scores(0.2))
    assert ("Two seeds say little" in leaderboard.markdown(table, found)) == (seeds == 2)


def test_values_that_cannot_be_read_take_a_row_out_with_a_line(kept):
    table, _, store = kept(a=scores(0.5), b=scores(0.2, seed=1))
    [broken] = [result.cell_id for result in store.results() if result.cell.model == "a"]
    (store.path(broken) / "per_user.parquet").write_bytes(b"PAR1")
    found = verdict(table, store)
    assert set(found.standings) == {("b", "all"), ("b", "long tail")}
    [line] = found.notes
    assert line.startswith("a has no rank: ")
    assert "per_user.parquet cannot be read" in line
    assert "a has no rank" in leaderboard.markdown(table, found)


NOISY = {"a": scores(0.50, tail=0.3), "b": scores(0.485, tail=0.5, seed=1), "c": scores(0.47, tail=0.35, seed=2)}


def p_values(found, rows):
    """Adjusted, by group and the two rows."""
    return {(g, p.a, p.b): p.p for g, pairs in found.pairs.items() for p in pairs if {p.a, p.b} <= set(rows)}


def test_compare_says_of_each_pair_what_the_table_says(kept, tiny_cards):
    """Of what the table ranks, in every group; other metrics are a family of their own."""
    swinging = np.stack([scores(0.49, seed=seed) for seed in (3, 4, 5)])
    _, found, store = kept(**NOISY, d=swinging, e=scores(0.2, seed=6)[None])
    told = set()
    for group, pairs in found.pairs.items():
        for pair in pairs:
            frame = compare(store, pair.a, pair.b, "tiny").frame.set_index(["group", "metric"])
            line = frame.loc[(group, "ndcg@10")]
            assert line["p_holm"] == pair.p
            assert line["difference"] == pair.difference
            assert line["high"] - line["low"] == pytest.approx(2 * pair.half_width)
            assert set(frame[frame["family"] == "table"].index) == {("all", "ndcg@10"), ("long tail", "ndcg@10")}
            told.add(pair.p < 0.05)
    assert told == {True, False}
    text = compare(store, "a", "b", "tiny").text()
    assert "of ndcg@10 over all pairs of rows, as in the table; of other metrics, over these 6 lines" in text


@pytest.mark.parametrize("as_seeds", [False, True], ids=["the same row", "imported as one seed"])
def test_a_row_of_the_same_values_weakens_nothing(kept, as_seeds):
    """Such as a tuned row with the default's config; or a copy of which nobody knows that it has no seeds."""
    _, before, _ = kept(**NOISY)
    copy = NOISY["a"][None] if as_seeds else NOISY["a"]
    _, after, _ = kept(copy=copy)
    assert p_values(after, "abc") == p_values(before, "abc")
    assert after.detectable[1] == before.detectable[1]
    [twins] = [pair for pair in after.pairs["all"] if {pair.a, pair.b} == {"a", "copy"}]
    assert (twins.difference, twins.p) == (0, 1)
    assert as_seeds or after.standings["copy", "all"] == after.standings["a", "all"]


def test_another_row_makes_the_others_stricter(kept):
    _, before, _ = kept(**NOISY)
    _, after, _ = kept(d=scores(0.2, seed=3))
    earlier, later = p_values(before, "abc"), p_values(after, "abc")
    assert all(later[key] >= earlier[key] for key in earlier)
    assert any(later[key] > earlier[key] for key in earlier)


def test_fewer_than_thirty_users_have_neither_interval_nor_rank(kept, tiny_cards, monkeypatch):
    for size, judged in ((29, False), (30, True)):
        monkeypatch.setitem(GROUPS, "long tail", slice(0, size))
        table, found, store = kept(**{f"a{size}": scores(0.5), f"b{size}": scores(0.2, seed=1)})
        own = [name for name, group in found.standings if group == "long tail"]
        assert bool(own) == judged
        line = compare(store, f"a{size}", f"b{size}", "tiny").frame.set_index(["group", "metric"])
        assert bool(np.isfinite(line.loc[("long tail", "ndcg@10"), "p_holm"])) == judged
        page = leaderboard.markdown(table, found)
        assert ("for fewer than 30 users: long tail (n=29)" in page) == (not judged)
        for result in store.results():
            store.path(result.cell_id).joinpath("result.json").unlink()


def test_a_row_level_with_popularity_bears_no_mark(kept):
    """Below it in the mean alone, the mark would contradict the rank."""
    _, _, store = kept(pop=scores(0.5), near=scores(0.499, seed=1), far=scores(0.3, seed=2))
    for result in store.results():
        path = store.path(result.cell_id) / "result.json"
        told = json.loads(path.read_text()) | {"personalized": result.cell.model != "pop"}
        path.write_text(json.dumps(told))
    [table] = tables(Store(store.root).results())
    page = leaderboard.markdown(table, verdict(table, store))
    assert "- ↓ below pop, which does not know the users: far\n" in page
    assert [line.split("|")[1].strip() for line in page.splitlines()[4:9]][2:] == ["pop", "near", "far ↓"]
