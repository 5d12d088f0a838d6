"""``bench datasets add``: from a user's own tables to a leaderboard."""

import json

import pandas as pd
import pytest
import yaml

from bench.data.catalog import card
from bench.data.infer_card import make_card
from bench.data.prepare import prepare
from bench.errors import BenchError


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
    ],
)  # fmt: skip
def test_usual_names_of_columns(tmp_path, head, columns):
    (tmp_path / "rows.csv").write_text(f"{head}\n")
    [found] = yaml.safe_load(make_card("x", tmp_path / "rows.csv", None, None)).values()
    assert found["sources"][0]["options"]["columns"] == columns


def test_id_column_is_found_beside_another_called_id(tmp_path):
    (tmp_path / "rows.csv").write_text("user,asin\na,B1\n")
    (tmp_path / "items.csv").write_text("id,asin,title\n1,B1,x\n")
    [found] = yaml.safe_load(make_card("x", tmp_path / "rows.csv", tmp_path / "items.csv", None)).values()
    assert found["sources"][0]["options"]["items"]["id"] == "asin"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("who,what\na,b\n", "no column of .*rows.csv looks like the user or the item .there are who, what.: rename"),
        ("user,what\na,b\n", "looks like the item"),
        ("", "cannot be read as a table"),
    ],
)
def test_table_that_cannot_be_guessed_is_an_error(tmp_path, content, said):
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(BenchError, match=said):
        make_card("x", tmp_path / "rows.csv", None, None)


def test_file_that_is_no_parquet_is_one_line(bench, tmp_path):
    (tmp_path / "rows.parquet").write_text("user,item\n")
    done = bench("datasets", "add", "x", "--interactions", "rows.parquet")
    assert done.status == 1
    assert len(done.err.splitlines()) == 1
    assert "rows.parquet cannot be read as a table" in done.err
    assert not (tmp_path / "x.yaml").exists()
