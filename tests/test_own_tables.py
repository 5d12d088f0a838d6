"""``bench datasets add``: from a user's own tables to a leaderboard."""

import json

import pandas as pd
import pytest
import yaml

from bench.data.catalog import card
from bench.data.infer_card import make_card
from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.split import split
from bench.errors import BenchError, ConfigError, DataError


@pytest.fixture
def tables(tmp_path, rows):
    """Files as users have them."""
    interactions = pd.DataFrame(rows, columns=["userId", "movieId", "timestamp"]).assign(rating=4.0)
    interactions.to_csv(tmp_path / "ratings.csv", index=False)
    films = {"movieId": range(40), "Title": [f"Film &amp; {i}" for i in range(40)], "price.usd": 2.5, "2nd title": "x"}
    pd.DataFrame(films).to_csv(tmp_path / "movies.tsv", index=False, sep="\t")
    people = pd.DataFrame({"user_id": range(48), "Job": ["", "cook"] * 24})
    people.to_parquet(tmp_path / "people.parquet")
    return tmp_path


WORDS = (
    "datasets",
    "add",
    "mine",
    "--interactions",
    "ratings.csv",
    "--items",
    "movies.tsv",
    "--users",
    "people.parquet",
)


def test_columns_are_guessed_shown_and_written(bench, tables):
    done = bench(*WORDS)
    assert done.status == 0, done.err
    written = (tables / "mine.yaml").read_text()
    assert done.out.startswith(written)
    assert "written: mine.yaml" in done.out
    [source] = yaml.safe_load(written)["mine"]["sources"]
    assert source["options"] == {
        "columns": {"user": "userId", "item": "movieId", "time": "timestamp", "rating": "rating"},
        "items": {"id": "movieId", "title": "Title", "price_usd": "price.usd", "_2nd_title": "2nd title"},
        "users": {"id": "user_id", "job": "Job"},
    }
    assert source["files"]["interactions"] == {"name": str(tables / "ratings.csv")}
    assert card("mine.yaml").protocol == "random"


def test_card_runs_from_any_folder(bench, tables, tmp_path, monkeypatch):
    bench(*WORDS)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = bench("run", "--models", "pop", "--dataset", "../mine.yaml", "--json")
    assert done.status == 0, done.err
    document = json.loads(done.out)
    assert document["dataset"] == "mine"
    assert document["rows"][0]["all/ndcg@10"] > 0


def test_texts_come_of_all_fields(bench, tables):
    bench(*WORDS)
    data = prepare(card("mine.yaml"))
    assert data.item_texts().iloc[0].to_dict() == {
        "id": "0", "title": "Film & 0", "price_usd": "2.5", "_2nd_title": "x",
        "text": "title Film & 0 price_usd 2.5 _2nd_title x",
    }  # fmt: skip
    assert data.user_texts()["text"].tolist()[:2] == ["", "job cook"]
    assert data.facts["problems"] == {}


@pytest.mark.parametrize("words", [("datasets", "info", "mine.yaml"), ("datasets", "prepare", "mine.yaml")])
def test_statistics_are_shown(bench, tables, rows, words):
    bench(*WORDS)
    done = bench(*words)
    assert done.status == 0, done.err
    for said in (f"48 users, 40 items, {len(rows):,} interactions", "density", "title 100.0%", "job 50.0%", "per user",
                 "cold items", "fewer than three", "long tail", "20+", "fingerprint"):  # fmt: skip
        assert said in done.out


def test_json_of_info_holds_card_and_statistics(bench, tables):
    bench(*WORDS)
    found = json.loads(bench("datasets", "info", "mine.yaml", "--json").out)
    assert found["card"]["name"] == "mine"
    assert found["missing"] is None
    assert found["statistics"]["size"].startswith("48 users")


def test_card_is_never_overwritten(bench, tables):
    bench(*WORDS)
    (tables / "mine.yaml").write_text("mended by hand")
    done = bench(*WORDS)
    assert done.status == 1
    assert "mine.yaml exists already: remove it or give another --output" in done.err
    assert (tables / "mine.yaml").read_text() == "mended by hand"
    assert bench(*WORDS, "--output", "other.yaml").status == 0


@pytest.mark.parametrize(
    ("head", "columns"),
    [
        ("user_id,item_id,timestamp", {"user": "user_id", "item": "item_id", "time": "timestamp"}),
        ("reviewerID,asin,overall,unixReviewTime", {"user": "reviewerID", "item": "asin", "time": "unixReviewTime",
                                                    "rating": "overall"}),
        ("visitorid;itemid;event", {"user": "visitorid", "item": "itemid"}),
        ("Item\tUser\tDate", {"user": "User", "item": "Item", "time": "Date"}),
        ("user_id,parent_asin,rating", {"user": "user_id", "item": "parent_asin", "rating": "rating"}),
        ("customer_number,sku,order_date", {"user": "customer_number", "item": "sku", "time": "order_date"}),
        ("Customer ID;Article;Stars", {"user": "Customer ID", "item": "Article", "rating": "Stars"}),
        ("customer_id,article_id,t_dat", {"user": "customer_id", "item": "article_id", "time": "t_dat"}),
        ("user_id:token\titem_id:token\ttimestamp:float", {"user": "user_id:token", "item": "item_id:token",
                                                          "time": "timestamp:float"}),
        ('"user","movieId","rating"', {"user": "user", "item": "movieId", "rating": "rating"}),
        ("id,user,item", {"user": "user", "item": "item"}),
    ],
)  # fmt: skip
def test_usual_names_of_columns(tmp_path, head, columns):
    (tmp_path / "rows.csv").write_text(f"{head}\n")
    [found] = yaml.safe_load(make_card("x", [tmp_path / "rows.csv"])).values()
    assert found["sources"][0]["options"]["columns"] == columns


def test_id_column_is_found_beside_another_called_id(tmp_path):
    (tmp_path / "rows.csv").write_text("user,asin\na,B1\n")
    (tmp_path / "items.csv").write_text("id,asin,title\n1,B1,x\n")
    [found] = yaml.safe_load(make_card("x", [tmp_path / "rows.csv"], items=tmp_path / "items.csv")).values()
    assert found["sources"][0]["options"]["items"]["id"] == "asin"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "who,what\na,b\n",
            "looks like the user or the item .there are who, what.: name it with --user-column and --item-column",
        ),
        ("user,what\na,b\n", "looks like the item .*: name it with --item-column"),
        ("", "rows.csv is empty, or its first line names no columns"),
    ],
)
def test_table_that_cannot_be_guessed_is_an_error(tmp_path, content, said):
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(BenchError, match=said):
        make_card("x", [tmp_path / "rows.csv"])


def test_file_that_is_no_parquet_is_one_line(bench, tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 user,item")
    done = bench("datasets", "add", "x", "--interactions", "rows.parquet")
    assert done.status == 1
    assert len(done.err.splitlines()) == 1
    assert "rows.parquet is no readable Parquet file" in done.err
    assert not (tmp_path / "x.yaml").exists()


def test_what_is_known_of_the_columns_is_given(tmp_path):
    (tmp_path / "rows.csv").write_text("who,what,user,score\n")
    known = {"user": "who", "item": "what", "rating": "user"}
    [found] = yaml.safe_load(make_card("x", [tmp_path / "rows.csv"], columns=known)).values()
    assert found["sources"][0]["options"]["columns"] == known
    with pytest.raises(DataError, match=r"has no column 'when' .--time-column.: there are who, what, user, score"):
        make_card("x", [tmp_path / "rows.csv"], columns={**known, "time": "when"})


def test_filters_and_encoding_stand_in_the_card(tmp_path):
    (tmp_path / "rows.csv").write_bytes("user,item,rating\né,1,5\nü,1,2\n".encode("latin-1"))
    text = make_card("x", [tmp_path / "rows.csv"], filters={"k_core": 1, "min_rating": 4.0}, encoding="latin-1")
    (tmp_path / "x.yaml").write_text(text)
    data = prepare(card(str(tmp_path / "x.yaml")))
    assert data.user_texts()["id"].tolist() == ["é"]
    with pytest.raises(ConfigError, match=r"filters.k_core = 'few': Input should be"):
        make_card("x", [tmp_path / "rows.csv"], filters={"k_core": "few"}, encoding="latin-1")


@pytest.mark.parametrize("name", ["../../up", "a/b", "a,b", "a@b", "a:b", "a b", ""])
def test_name_that_is_no_file_name_is_refused(tmp_path, name):
    (tmp_path / "rows.csv").write_text("user,item\n")
    with pytest.raises(ConfigError, match="name = "):
        make_card(name, [tmp_path / "rows.csv"])


def test_several_files_are_one_table(tmp_path):
    for part, rows in (("one", "a,1\na,2\nb,1\n"), ("two", "a,3\nc,2\n")):
        (tmp_path / f"{part}.csv").write_text(f"user,item\n{rows}")
    (tmp_path / "x.yaml").write_text(make_card("x", [tmp_path / "one.csv", tmp_path / "two.csv"]))
    data = prepare(card(str(tmp_path / "x.yaml")))
    items = data.item_texts()["id"].to_numpy()[data.interactions.items].tolist()
    assert (data.user_texts()["id"].tolist(), items) == (["a", "b", "c"], ["1", "2", "3", "1", "2"])


def test_ready_split_is_the_published_protocol(tmp_path):
    for part, rows in (("train", "a,1,1\na,2,2\nb,1,3\n"), ("valid", "a,3,4\n"), ("test", "a,4,5\nb,3,6\n")):
        (tmp_path / f"{part}.csv").write_text(f"user,item,time\n{rows}")
    files = {part: tmp_path / f"{part}.csv" for part in ("train", "valid", "test")}
    (tmp_path / "x.yaml").write_text(make_card("x", split=files))
    found = card(str(tmp_path / "x.yaml"))
    assert found.protocol == "published"
    parts = split(prepare(found), protocol(found.protocol))
    assert [len(part) for part in (parts.visible.train, parts.visible.valid, parts.hidden.test)] == [3, 1, 2]


def test_parts_that_overlap_are_named_when_added_and_at_run(tmp_path, bench):
    rows = {"train": "a,1\na,2\nb,1\nb,2\nc,3\n", "valid": "a,3\nb,1\n", "test": "a,1\na,3\nb,3\nb,1\n"}
    for part, text in rows.items():
        (tmp_path / f"{part}.csv").write_text(f"user,item\n{text}")
    words = [word for part in rows for word in (f"--{part}", str(tmp_path / f"{part}.csv"))]
    card_file = tmp_path / "ready.yaml"
    done = bench("datasets", "add", "ready", *words, "--output", str(card_file))
    told = [f"{number} interactions of {one} are in {other} too, and count in one of them"
            for number, one, other in ((1, "valid", "train"), (2, "test", "train"), (2, "test", "valid"))]  # fmt: skip
    assert done.err.splitlines() == [f"warning: {line}" for line in told]
    done = bench("run", "--models", "pop", "--dataset", str(card_file), "--results", str(tmp_path / "results"))
    assert done.status == 0
    assert [line.strip() for line in done.err.splitlines() if "warning" in line] == [f"warning: {one}" for one in told]


def test_a_data_set_of_ones_own_takes_no_name_of_the_list(tmp_path, bench):
    (tmp_path / "rows.csv").write_text("user,item\na,1\n")
    done = bench("datasets", "add", "tiny", "--interactions", tmp_path / "rows.csv", "--output", tmp_path / "x.yaml")
    assert done.err == "error: 'tiny' is a data set of 'bench datasets list': give another name\n"
    assert not (tmp_path / "x.yaml").exists()


def test_stored_results_are_found_by_the_card_too(tmp_path, bench):
    rows = "".join(f"{user},{item}\n" for user in range(6) for item in range(user % 2, 8, 1 + user % 3))
    (tmp_path / "rows.csv").write_text(f"user,item\n{rows}")
    added = ("--interactions", tmp_path / "rows.csv", "--output", tmp_path / "file.yaml")
    assert bench("datasets", "add", "mine", *added).status == 0
    where = ("--dataset", tmp_path / "file.yaml", "--results", tmp_path / "results")
    assert bench("run", "--models", "pop", *where).status == 0
    for command in (("leaderboard",), ("results", "list"), ("report",)):
        done = bench(*command, *where, *(["--out", tmp_path / "page.html"] if command == ("report",) else []))
        assert (done.status, done.err) == (0, ""), command


def test_parts_that_do_not_overlap_say_nothing(tmp_path, bench):
    for part, text in (("train", "a,1\na,2\nb,1\n"), ("test", "a,3\nb,2\n")):
        (tmp_path / f"{part}.csv").write_text(f"user,item\n{text}")
    words = [word for part in ("train", "test") for word in (f"--{part}", str(tmp_path / f"{part}.csv"))]
    done = bench("datasets", "add", "ready", *words, "--output", str(tmp_path / "ready.yaml"))
    assert (done.status, done.err) == (0, "")


def test_all_tables_have_the_columns_of_the_first(tmp_path, bench):
    (tmp_path / "train.csv").write_text("user,item,time\na,1,1\n")
    (tmp_path / "test.csv").write_text("user,product,time\na,2,2\n")
    files = {part: tmp_path / f"{part}.csv" for part in ("train", "test")}
    with pytest.raises(DataError) as error:
        make_card("x", split=files)
    assert str(error.value) == (
        f"{files['test']} has no column 'item', which train.csv has (there are user, product, time): all tables of "
        "interactions have the same columns"
    )


@pytest.mark.parametrize("roles", [(), ("train",), ("valid", "test"), ("interactions", "train", "test")])
def test_either_interactions_or_a_split(tmp_path, roles):
    files = dict.fromkeys(roles, tmp_path / "rows.csv")
    with pytest.raises(ConfigError, match="give the interactions with --interactions, or a split with --train"):
        make_card("x", [files.pop("interactions")] if "interactions" in files else [], split=files)


def test_json_lines_and_parquet_without_their_names(tmp_path):
    (tmp_path / "rows.txt").write_text(
        '{"user": "a", "item": 7, "more": {"x": 1}}\n{"item": 8, "user": "b", "ts": 5}\n'
    )
    pd.DataFrame({"sku": [7, None], "title": ["x", "y"]}).to_parquet(tmp_path / "items.PQ")
    text = make_card("x", [tmp_path / "rows.txt"], items=tmp_path / "items.PQ")
    [found] = yaml.safe_load(text).values()
    assert found["sources"][0]["options"]["columns"] == {"user": "user", "item": "item", "time": "ts"}
    assert found["sources"][0]["options"]["items"] == {"id": "sku", "title": "title"}
