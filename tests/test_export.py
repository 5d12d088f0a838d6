"""Splits that go out, and the commands that make and score rows of stored lists."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bench as api
from bench.data.prepare import prepare
from bench.data.split import split
from bench.errors import DataError
from bench.interactions import Recommendations
from bench.messages.spec import RunSpec
from bench.runs.evaluate import keep_lists
from bench.runs.export import export_lists, export_split
from bench.runs.store import Store
from bench.runs.task import Fold, Task, find_rules, make_task

READ = {
    "csv": (lambda folder, part: pd.read_csv(folder / f"{part}.csv", dtype=str), ["user", "item", "time"]),
    "lenskit": (lambda folder, part: pd.read_parquet(folder / f"{part}.parquet"), ["user_id", "item_id", "timestamp"]),
    "recbole": (
        lambda folder, part: pd.read_csv(folder / f"{folder.name}.{part}.inter", sep="\t", dtype=str),
        ["user_id:token", "item_id:token", "timestamp:float"],
    ),
}


@pytest.fixture
def task(tiny_cards):
    return make_task(RunSpec(models=["x"], dataset="tiny"))


def pairs(task, part):
    users, items = (texts["id"].to_numpy() for texts in (task.dataset.user_texts(), task.dataset.item_texts()))
    return list(zip(users[part.users], items[part.items], part.times.tolist(), strict=True))


@pytest.mark.parametrize("form", READ)
def test_a_split_has_its_interactions_with_original_ids(bench, task, tmp_path, form):
    done = bench("export", "split", "--dataset", "tiny", "--format", form, "--with-test", "--output", "out")
    assert done.status == 0, done.err
    assert "keep it from whatever trains" in done.err
    [folder] = (tmp_path / "out").iterdir()
    assert folder.name == f"tiny-{task.fingerprint[:8]}"
    parts, (read, columns) = task.folds[None].split, READ[form]
    told = json.loads((folder / "split.json").read_text())
    assert (told["fingerprint"], told["protocol"]["name"]) == (task.fingerprint, "random")
    for name, part in (("train", parts.visible.train), ("valid", parts.visible.valid), ("test", parts.hidden.test)):
        found = read(folder, name)
        assert found.columns.tolist() == columns
        rows = [(user, item, int(time)) for user, item, time in found.itertuples(index=False)]
        assert rows == pairs(task, part)
        assert told["interactions"][name] == len(part)
    if form == "lenskit":
        assert pq.read_schema(folder / "train.parquet").field("user_id").type == pa.string()
    if form == "recbole":
        items = pd.read_csv(folder / f"{folder.name}.item", sep="\t")["item_id:token"].tolist()
        assert items == task.dataset.item_texts()["id"].tolist()


def test_nothing_of_test_goes_out_unasked(bench, task, tmp_path):
    for form in READ:
        assert bench("export", "split", "--dataset", "tiny", "--format", form, "--output", form).status == 0
        [folder] = (tmp_path / form).iterdir()
        assert not [path for path in folder.iterdir() if "test" in path.name]
        assert set(json.loads((folder / "split.json").read_text())["interactions"]) == {"train", "valid"}
        rows = [row for part in ("train", "valid") for row in READ[form][0](folder, part).itertuples(index=False)]
        seen = {(row[0], row[1]) for row in rows}
        assert not seen & {(user, item) for user, item, _ in pairs(task, task.folds[None].split.hidden.test)}


def test_folds_are_folders_and_what_is_there_stays(bench, tmp_path):
    words = ("export", "split", "--dataset", "tiny", "--protocol", "kfold:3")
    assert bench(*words).status == 0
    folders = sorted(path.name for path in (tmp_path / "export").iterdir())
    assert [name[-7:] for name in folders] == ["-fold-0", "-fold-1", "-fold-2"]
    done = bench(*words)
    assert (done.status, "exists already" in done.err) == (1, True)


def test_an_exported_split_comes_back_as_a_published_one(bench, task, tmp_path):
    bench("export", "split", "--dataset", "tiny", "--with-test")
    [folder] = (tmp_path / "export").iterdir()
    words = [word for part in ("train", "valid", "test") for word in (f"--{part}", folder / f"{part}.csv")]
    assert bench("datasets", "add", "back", *words).status == 0
    back = make_task(RunSpec(models=["x"], dataset="back.yaml"))
    theirs, ours = back.folds[None].split, task.folds[None].split
    assert pairs(back, theirs.visible.train) == pairs(task, ours.visible.train)
    assert pairs(back, theirs.hidden.test) == pairs(task, ours.hidden.test)


def test_slots_that_broke_the_contract_are_told(task, tmp_path, make_result):
    """A list whose middle slot is unfilled: the item behind it moves up, and one slot is told."""

    store, result = Store(tmp_path), make_result(dataset="tiny")
    store.path(result.cell_id).mkdir(parents=True)
    lists = Recommendations(np.array([[3, -1, 5, -1]], np.int32), np.array([[3, -np.inf, 1, -np.inf]], np.float32))
    keep_lists(store.path(result.cell_id) / "lists.parquet", np.array([2]), lists)
    assert export_lists(result, task, store, tmp_path / "lists.csv", "csv") == 1
    ids = task.dataset.item_texts()["id"]
    found = pd.read_csv(tmp_path / "lists.csv")
    assert found.to_numpy().tolist() == [["u002", ids[3], 3.0, 1], ["u002", ids[5], 1.0, 2]]


@pytest.mark.parametrize(("form", "user"), [("trec", "user 3"), ("recbole", "NA"), ("recbole", "nan")])
def test_an_id_that_a_format_cannot_hold_is_refused(tmp_path, own_card, new_cache, make_result, form, user):
    card = own_card([(u, f"i{i}", i) for u in (user, "b") for i in range(6)], filters={"k_core": 0})
    _, rules = find_rules(RunSpec(models=["x"], dataset="ml-100k"))
    data = prepare(card)
    task = Task(card, data, rules, {None: Fold(split(data, rules), [])})
    store, result = Store(tmp_path), make_result()
    store.path(result.cell_id).mkdir(parents=True)
    lists = Recommendations(np.array([[0, 1]] * 2, np.int32), np.array([[2, 1]] * 2, np.float32))
    keep_lists(store.path(result.cell_id) / "lists.parquet", np.array([0, 1]), lists)
    with pytest.raises(DataError, match=f"cannot hold the user '{user}'"):
        export_lists(result, task, store, tmp_path / "lists.run", form)
    assert not (tmp_path / "lists.run").exists()
    if form == "recbole":
        with pytest.raises(DataError, match="cannot hold"):
            export_split(task, None, tmp_path / "split", form, with_test=False)
        assert not (tmp_path / "split").exists()


def fuse(bench, *words):
    return bench("fuse", *words, "--dataset", "tiny")


def test_a_fused_row_stands_in_the_table_with_its_cost(bench, tmp_path):
    api.run("ease,pop,random", "tiny", seeds="1-2")
    done = fuse(bench, "ease", "pop", "--name", "both", "--json")
    assert done.status == 0, done.err
    rows = {row["model"]: row for row in json.loads(done.out)["rows"]}
    assert (rows["both"]["preset"], rows["both"]["seeds"]) == ("fused", 1)
    assert rows["both"]["fit_seconds"] == pytest.approx(rows["ease"]["fit_seconds"] + rows["pop"]["fit_seconds"])
    [made] = [path for path in tmp_path.glob("results/cells/*/result.json") if '"fused"' in path.read_text()]
    assert json.loads(made.read_text())["personalized"] is True
    before = len(list(tmp_path.glob("results/cells/*")))
    assert fuse(bench, "ease", "pop", "--name", "both").status == 0
    assert len(list(tmp_path.glob("results/cells/*"))) == before
    done = fuse(bench, "ease", "pop", "--name", "other", "--rule", "borda", "--constant", "5")
    assert done.err == "error: --constant is of --rule rrf: borda has none\n"
    assert len(list(tmp_path.glob("results/cells/*"))) == before
    done = fuse(bench, "ease", "ease@default", "--name", "other")
    assert done.err == "error: a row is named twice: give each once, and --weights for how much it counts\n"
    done = fuse(bench, "ease", "random", "--name", "mixed", "--rule", "borda", "--weights", "3,1", "--json")
    rows = {row["model"]: row for row in json.loads(done.out)["rows"]}
    assert rows["mixed"]["seeds"] == 2
    ids = {one["cell_id"] for row in json.loads(done.out)["rows"] for one in row["results"] if row["model"] == "mixed"}
    assert len(ids) == 2
    done = fuse(bench, "ease", "pop", "--name", "both", "--weights", "5,1")
    assert "fused by rrf from ease, pop, with weights 5, 1 and constant 60" in done.out
    assert "weights=[5.0, 1.0]" in done.out


def test_a_fused_row_says_when_its_lists_are_no_more_those_of_the_table(bench, tmp_path):
    api.run("pop,ease", "tiny")
    assert bench("export", "lists", "ease", "--dataset", "tiny", "--format", "csv", "--output", "out").status == 0
    [file] = (tmp_path / "out").iterdir()
    words = ("import", "lists", file, "--name", "mine", "--dataset", "tiny", "--deterministic")
    assert bench(*words).status == 0
    assert fuse(bench, "pop", "mine", "--name", "both").status == 0
    old = "both@fused is fused from lists that are not in this table any more: fuse it again"
    assert old not in bench("leaderboard").out
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    assert bench(*words).status == 0
    assert old in bench("leaderboard").out
    assert fuse(bench, "pop", "mine", "--name", "both").status == 0
    assert old not in bench("leaderboard").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pop"], "two rows or more"),
        (["pop", "pop"], "named twice"),
        (["pop", "nope"], "unknown row of tiny 'nope'"),
        (["pop", "recent", "--weights", "1"], "a positive number for each of the 2 rows"),
        (["pop", "recent", "--weights", "1,0"], "a positive number for each of the 2 rows"),
        (["pop", "recent", "--weights", "1,inf"], "a positive number for each of the 2 rows"),
        (["pop", "recent", "--weights", "1,x"], "takes numbers such as"),
        (["pop", "recent", "--constant", "-1"], "from 0 on"),
        (["pop", "recent", "--name", "a/b"], "--name takes"),
        (["pop", "recent", "--k", "200"], "give --k"),
    ],
)
def test_what_cannot_be_fused(bench, make_result, tmp_path, task, words, said):
    for model in ("pop", "recent"):
        result = make_result(model, dataset="tiny", fingerprint=task.fingerprint, deterministic=True, seed=0)
        Store(tmp_path / "results").write(result)
    done = fuse(bench, *words[:2], *(words[2:] if "--name" in words else [*words[2:], "--name", "x"]))
    assert done.status == 1
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_score_prints_a_row_under_all_conventions(bench, tmp_path):
    api.run("pop", "tiny")
    found = json.loads(bench("score", "pop", "--dataset", "tiny", "--conventions", "--k", "5,10", "--json").out)
    assert list(found) == ["recsys-bench", "RecBole", "WarpRec", "Elliot", "ranx", "trec_eval"]
    [table] = json.loads(bench("leaderboard", "--json").out)
    assert found["recsys-bench"]["ndcg@10"] == pytest.approx(table["rows"][0]["all/ndcg@10"])
    assert found["Elliot"]["map@5"] != found["recsys-bench"]["map@5"]
    done = bench("score", "pop", "--dataset", "tiny", "--conventions")
    assert "≠ " in done.out
    assert max(map(len, done.out.splitlines())) <= 100
    alone = bench("score", "pop", "--dataset", "tiny")
    assert "≠" not in alone.out
    assert "min(r, k)" in alone.out
    assert "give a smaller --k" in bench("score", "pop", "--dataset", "tiny", "--k", "200").err
    [lists] = tmp_path.glob("results/cells/*/lists.parquet")
    lists.write_bytes(b"PAR1 no more")
    for words in (["score", "pop"], ["export", "lists", "pop"]):
        done = bench(*words, "--dataset", "tiny")
        assert (done.status, "cannot be read" in done.err, len(done.err.splitlines())) == (1, True, 1)
    assert not list(tmp_path.glob("export/*"))


@pytest.mark.parametrize("group", ["import", "export"])
def test_a_group_alone_says_what_it_has(bench, group):
    done = bench(group)
    assert (done.status, done.err) == (0, "")
    assert "lists" in done.out
