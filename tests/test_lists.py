"""Lists of files as rows of the table: what is measured, what is counted, what is refused."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import bench as api
from bench.messages.spec import RunSpec
from bench.runs.lists import _by_score
from bench.runs.task import make_task


@pytest.fixture
def task(tiny_cards):
    return make_task(RunSpec(models=["x"], dataset="tiny"))


@pytest.fixture
def known(task):
    """Original ids: of items by number, and by test user the test items and those that must not be recommended."""
    split = task.folds[None].split
    users, items = (texts["id"].tolist() for texts in (task.dataset.user_texts(), task.dataset.item_texts()))
    rows = {}
    for name, part in (("test", split.hidden.test), ("seen", split.visible.union("train+valid"))):
        rows[name] = {users[u]: [items[i] for i in part.items[part.indptr[u] : part.indptr[u + 1]]]
                      for u in range(len(users))}  # fmt: skip
    test = {user: own for user, own in rows["test"].items() if own}
    return SimpleNamespace(users=users, items=items, test=test, seen=rows["seen"])


def ndcg(listed, relevant, k):
    gains = [1 / math.log2(rank + 2) for rank in range(k)]
    reached = sum(gains[rank] for rank, item in enumerate(listed[:k]) if item in relevant)
    return reached / sum(gains[: min(k, len(relevant))])


def write(path, rows, head="user,item,score"):
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def perfect(known):
    """For each test user the test items first, then items that are allowed."""
    return {
        user: [*own, *(i for i in known.items if i not in own and i not in known.seen[user])][:10]
        for user, own in known.test.items()
    }


def rows_of(lists):
    return [(user, item, 100 - rank) for user, own in lists.items() for rank, item in enumerate(own)]


def stored(results):
    """The results of a folder by name of the model, the newest last."""
    found = [json.loads(path.read_text()) for path in results.glob("cells/*/result.json")]
    return sorted(found, key=lambda one: one["created"])


def take(bench, *words, results="results"):
    return bench("import", "lists", *words, "--dataset", "tiny", "--results", results)


def test_lists_that_go_out_and_come_back_have_the_same_metrics(bench, tmp_path):
    api.run("ease", "tiny", results="results")
    for form in ("csv", "lenskit", "recbole", "trec"):
        assert bench("export", "lists", "ease", "--dataset", "tiny", "--format", form, "--output", form).status == 0
        [file] = (tmp_path / form).iterdir()
        done = take(bench, file, "--name", form, "--deterministic")
        assert done.status == 0, done.err
    found = {one["cell"]["model"]: one for one in stored(tmp_path / "results")}
    ease, *others = [found[name] for name in ("ease", "csv", "lenskit", "recbole", "trec")]
    for other in others:
        for part in ("groups", "beyond", "violations"):
            assert ease[part] == other[part], part
        frames = [pd.read_parquet(f"results/cells/{one['cell_id']}/per_user.parquet") for one in (ease, other)]
        pd.testing.assert_frame_equal(*frames)
        assert (other["cell"]["preset"], other["phases"]) == ("imported", {})
        assert other["confinement"].startswith("unconfined")


def test_metrics_and_counts_of_a_list_by_hand(bench, known, tmp_path):
    lists = perfect(known)
    rows = rows_of(lists)
    users = list(lists)
    silent, double, foreign, seen = users[:4]
    rows = [row for row in rows if row[0] != silent]
    rows += [(double, lists[double][0], 99.5), (foreign, "no such item", 200), (seen, known.seen[seen][0], 200)]
    rows += [("nobody", known.items[0], 1)] * 3
    lists[silent] = []
    lists[double] = [lists[double][0], None, *lists[double][1:]]
    lists[foreign], lists[seen] = [None, *lists[foreign]], [None, *lists[seen]]
    rng = np.random.default_rng(0)
    file = write(tmp_path / "mine.csv", [rows[at] for at in rng.permutation(len(rows))])
    done = take(bench, file, "--name", "mine")
    assert done.status == 0, done.err
    [result] = stored(tmp_path / "results")
    frame = pd.read_parquet(f"results/cells/{result['cell_id']}/per_user.parquet").set_index("user")
    for user, own in known.test.items():
        for k in (5, 10):
            expected = ndcg(lists[user], own, k)
            assert frame.loc[known.users.index(user), f"all/ndcg@{k}"] == pytest.approx(expected, abs=1e-6), user
    found = result["violations"]
    assert (found["duplicate"], found["unknown"], found["excluded"]) == (1, 1, 1)
    counts = result["facts"]["manifest"]
    assert counts["test users without a list"] == counts["duplicate slots"] == counts["slots of excluded items"] == 1
    assert counts["slots that short lists leave empty"] == found["short"] > 0
    assert (counts["users that are not in the data set"], counts["rows of them"]) == (1, 3)
    assert "3 rows of 1 users that are not in the data set were left out" in done.out
    assert "nan" not in done.out


def test_ties_keep_the_order_of_the_file(bench, known, tmp_path):
    user = next(user for user, own in known.test.items() if own)
    target = known.test[user][0]
    others = [i for i in known.items if i not in known.seen[user] and i not in known.test[user]][:4]
    for place in (0, 2, 4):
        listed = [*others[:place], target, *others[place:]]
        file = write(tmp_path / f"{place}.csv", [(user, item, 1) for item in listed])
        assert take(bench, file, "--name", f"at{place}", "--k", "5").status == 0
    found = {one["cell"]["model"]: one for one in stored(tmp_path / "results")}
    for place in (0, 2, 4):
        result = found[f"at{place}"]
        frame = pd.read_parquet(f"results/cells/{result['cell_id']}/per_user.parquet").set_index("user")
        assert frame.loc[known.users.index(user), "all/mrr@5"] == pytest.approx(1 / (place + 1))
        assert result["facts"]["manifest"]["slots tied with the one above"] == 4


def test_one_long_list_does_not_make_all_lists_long():
    places, items = np.array([0, 1, 1, 1, 1]), np.array([7, 3, 4, 5, 6])
    scores = np.array([1.0, 4.0, 3.0, 3.0, 2.0])
    lists, tied = _by_score(places, items, scores, (3, 2), 9)
    assert lists.items.tolist() == [[7, -1], [3, 4], [-1, -1]]
    assert tied == 1  # of all rows of the file
    assert _by_score(places, items, scores, (3, 9), 9)[0].items.shape == (3, 4)


def test_the_same_lists_are_no_two_seeds(bench, known, tmp_path):
    file, copy = (write(tmp_path / name, rows_of(perfect(known))) for name in ("a.csv", "b.csv"))
    for again in (file, copy):
        done = take(bench, file, again, "--name", "twice")
        assert done.err == (
            f"error: {file} and {again} are the same lists, which are no two seeds: give one of them, with "
            "--deterministic if they depend on no seed\n"
        )
    assert not stored(tmp_path / "results")


def test_a_file_is_read_again_when_it_changes(bench, known, tmp_path):
    lists = perfect(known)
    file = write(tmp_path / "mine.csv", rows_of(lists))
    assert take(bench, file, "--name", "mine").status == 0
    [first] = stored(tmp_path / "results")
    assert take(bench, file, "--name", "mine").status == 0
    assert stored(tmp_path / "results") == [first]
    for own in ({user: own[::-1] for user, own in lists.items()}, lists):  # other lists, and back to the first ones
        write(file, rows_of(own))
        done = take(bench, file, "--name", "mine", "--json")
        assert "superseded" in done.err
        [row] = json.loads(done.out)["rows"]
        expected = np.mean([ndcg(own[user], relevant, 10) for user, relevant in known.test.items()])
        assert row["all/ndcg@10"] == pytest.approx(expected)
        assert "superseded" not in take(bench, file, "--name", "mine").err
    states = [one["state"] for one in json.loads(bench("results", "list", "--json").out)]
    assert sorted(states) == ["finished", "superseded"]


def test_files_are_seeds_and_folds_of_one_row(bench, known, tmp_path):
    lists = perfect(known)
    files = [
        write(tmp_path / "a.csv", rows_of(lists)),
        write(tmp_path / "b.csv", rows_of({user: own[::-1] for user, own in lists.items()})),
    ]
    done = json.loads(take(bench, *files, "--name", "mine", "--json").out)
    [row] = done["rows"]
    assert row["seeds"] == 2
    means = [one["groups"]["all"]["metrics"]["ndcg@10"] for one in stored(tmp_path / "results")]
    assert row["all/ndcg@10"] == pytest.approx(np.mean(means))
    assert max(means) > min(means)
    done = take(bench, *files, "--name", "mine", "--protocol", "kfold:3")
    assert "has 3 folds" in done.err
    done = take(bench, *files, files[0], "--name", "mine", "--protocol", "kfold:3", "--json")
    [row] = json.loads(done.out)["rows"]
    assert (row["seeds"], row["folds"]) == (1, 3)
    assert "--deterministic takes a file" in take(bench, *files, "--name", "mine", "--deterministic").err


def test_an_imported_row_stands_beside_models(bench, known, tmp_path):
    file = write(tmp_path / "mine.csv", rows_of(perfect(known)))
    assert take(bench, file, "--name", "mine").status == 0
    done = bench("run", "--models", "pop", "--dataset", "tiny", "--groups", "quartiles", "--json")
    rows = {row["model"]: row for row in json.loads(done.out)["rows"]}
    assert rows["mine"]["Q1/ndcg@10"] == pytest.approx(1)
    assert rows["mine"]["all/ndcg@10/rank_first"] == 1
    assert rows["pop"]["all/ndcg@10/rank_first"] == 2
    assert bench("compare", "mine", "pop", "--dataset", "tiny").status == 0


def test_a_rank_may_stand_for_the_score(bench, known, tmp_path):
    lists = perfect(known)
    rows = [(user, item, rank) for user, item, rank in ((u, i, 100 - s) for u, i, s in rows_of(lists))]
    file = write(tmp_path / "ranked.csv", rows[::-1], "user_id,item_id,rank")
    done = json.loads(take(bench, file, "--name", "ranked", "--json").out)
    assert done["rows"][0]["all/ndcg@10"] == pytest.approx(1)


BAD = {
    "no score": (b"user,item\nu001,i001\n", "no column 'score' or 'rank'"),
    "no user": (b"a,b,score\nu001,i001,1\n", "looks like the user or the item"),
    "not a number": (b"user,item,score\nu001,i001,nan\n", "1 scores that are missing or no finite number"),
    "missing": (b"user,item,score\nu001,i001,2\nu001,i002,\n", "the first in its row 2"),
    "infinite": (b"user,item,score\nu001,i001,-inf\n", "no finite number"),
    "no item": (b"user,item,score\nu001,,1\n", "1 rows without a user or an item"),
    "Latin-1": (b"user,item,score\nu001,caf\xe9,1\nu001,i001,1\n", "no UTF-8"),
    "short row": (b"user,item,score\nu001,i001,1\nu001,i002\n", "too few or too many fields"),
    "empty": (b"", "is empty"),
    "header alone": (b"user,item,score\n", "has no lists"),
    "strangers": (b"user,item,score\n\x1b[31mx,i001,1\n", "has no list of a test user of 'tiny'"),
    "TREC row": (b"u001 Q0 i001 1 0.5 x\nu001 Q0 i002 2\n", "line 2 has 4 fields"),
    "TREC score": (b"u001 Q0 i001 1 x x\n", "no finite number"),
    "TREC Latin-1": (b"u001 Q0 caf\xe9 1 1 x\n", "no UTF-8"),
    "Parquet": (b"PAR1 no more", "no readable Parquet file"),
    "too short": (b"user,item,score\nu001,i001,1\n", "give --k 1"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_refused_in_one_line(bench, tmp_path, what):
    content, said = BAD[what]
    (tmp_path / "bad.csv").write_bytes(content)
    done = take(bench, "bad.csv", "--name", "mine")
    assert done.status == 1
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert "\x1b" not in done.err
    assert not list(tmp_path.glob("results/cells/*"))


def with_slots(known, share, item):
    """Perfect lists whose last slot is ``item(user)``, of this share of the users."""
    lists = perfect(known)
    changed = [user for user in lists if known.seen[user]][: round(share * len(lists))]
    return {user: [*own[:-1], item(user)] if user in changed else own for user, own in lists.items()}, len(changed)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("seen", "the protocol excludes: lists of another split"), ("strange", "does not have: other or shifted ids")],
)
def test_lists_that_do_not_fit_the_data_are_told(bench, known, tmp_path, kind, said):
    item = {"seen": lambda user: known.seen[user][0], "strange": lambda user: "no such item"}[kind]
    for name, share in (("few", 0.05), ("many", 0.5)):  # of ten slots, a twentieth and a half have one
        lists, changed = with_slots(known, share, item)
        done = take(bench, write(tmp_path / f"{name}.csv", rows_of(lists)), "--name", name)
        assert done.status == 0, done.err
        result = next(one for one in stored(tmp_path / "results") if one["cell"]["model"] == name)
        filled = sum(map(len, lists.values()))
        lines = [line for line in result["warnings"] if said in line]
        start = f"{changed:,} of {filled:,} slots ({changed / filled:.1%}) hold an item "
        assert [line.startswith(start) for line in lines] == ([True] if name == "many" else [])


@pytest.mark.parametrize("kind", ["seen", "strange"])
def test_lists_that_mostly_do_not_fit_are_refused_and_nothing_is_lost(bench, known, tmp_path, kind):
    file = write(tmp_path / "mine.csv", rows_of(perfect(known)))
    assert take(bench, file, "--name", "mine").status == 0
    before = stored(tmp_path / "results")
    if kind == "seen":
        write(file, rows_of({user: known.seen[user][:10] for user in known.test if known.seen[user]}))
    else:
        write(file, [(user, f"z{item}", score) for user, item, score in rows_of(perfect(known))])
    done = take(bench, file, "--name", "mine")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert done.err.startswith(f"error: {file}: ")
    assert "; nothing was stored: 'bench export split'" in done.err
    assert stored(tmp_path / "results") == before


def test_one_seed_is_told_at_import(bench, known, tmp_path):
    file = write(tmp_path / "mine.csv", rows_of(perfect(known)))
    said = "one seed: comparisons assume that others spread by 5% of the mean; "
    assert said in take(bench, file, "--name", "mine").err
    assert said not in take(bench, file, "--name", "fixed", "--deterministic").err
    assert said not in take(bench, file, file, "--name", "two").err


@pytest.mark.parametrize("name", ["a/b", "", "..", "x" * 61, "a b"])
def test_a_name_is_no_path(bench, known, tmp_path, name):
    file = write(tmp_path / "mine.csv", rows_of(perfect(known)))
    done = take(bench, file, "--name", name)
    assert done.status == 1
    assert "--name takes" in done.err


def test_scores_beyond_single_precision_keep_their_order(bench, known, tmp_path):
    rows = [(user, item, score * 10.0**300) for user, item, score in rows_of(perfect(known))]
    done = json.loads(take(bench, write(tmp_path / "big.csv", rows), "--name", "big", "--json").out)
    assert (done["rows"][0]["all/ndcg@10"], done["rows"][0]["violations"]) == (pytest.approx(1), 0)


def test_a_score_that_contradicts_the_rank_is_one_line(bench, known, tmp_path):
    """Such as a distance: the best item has the lowest."""
    rows = [(user, item, rank, 0.1 * rank) for user, own in perfect(known).items() for rank, item in enumerate(own, 1)]
    path = write(tmp_path / "both.csv", rows, "user,item,rank,score")
    words = ("import", "lists", path, "--name", "own", "--dataset", "tiny", "--results", tmp_path)
    done = bench(*words)
    assert done.status == 1
    assert "order by 'score' is not that of 'rank': name the right one with --score-column" in done.err
    assert bench(*words, "--score-column", "rank").status == 0
    agreeing = [(user, item, rank, -score) for user, item, rank, score in rows]
    write(path, agreeing, "user,item,rank,score")
    assert bench(*words).status == 0


def test_a_row_of_short_lists_says_why_it_has_no_numbers(bench, known, tmp_path):
    path = write(tmp_path / "own.csv", rows_of({user: own[:5] for user, own in perfect(known).items()}))
    assert bench("run", "--models", "pop", "--dataset", "tiny", "--results", tmp_path).status == 0
    done = bench("import", "lists", path, "--name", "own", "--dataset", "tiny", "--results", tmp_path)
    assert "own@imported has lists of 5: 'bench score own@imported --dataset tiny --k 5' measures them" in " ".join(
        done.out.split()
    )
