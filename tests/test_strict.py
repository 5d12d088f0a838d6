"""What cannot be used is counted and shown; with --strict it is an error."""

import json
import random
from pathlib import Path

import pytest
import yaml

from bench.data.prepare import prepare
from bench.data.protocol import PROTOCOLS
from bench.data.split import split
from bench.data.statistics import statistics
from bench.errors import BenchError

ROWS = [(user, item, 10 * user + item) for user in range(5) for item in range(5)]
TITLES = {item: f"thing {item}" for item in range(5)}


@pytest.fixture
def spoilt(own_card):
    """A card whose file holds three bad rows."""
    card = own_card(ROWS)
    [source] = card.sources
    with Path(source.files["interactions"].name).open("ab") as file:
        file.write(b"1,2\n1,2,-5\n,2,5\n")
    return card


def test_bad_rows_are_counted(spoilt):
    data = prepare(spoilt)
    assert len(data.interactions) == len(ROWS)
    assert sum(data.facts["problems"].values()) == 3


def test_strict_makes_them_an_error_whether_prepared_before_or_not(spoilt, new_cache):
    for _ in range(2):
        with pytest.raises(BenchError, match=r"'own' has 1 rows .*: fix the raw files, or go on without --strict"):
            prepare(spoilt, strict=True)
        prepare(spoilt)


def test_strict_lets_sound_files_pass(own_card):
    assert prepare(own_card(ROWS, TITLES), strict=True).facts["problems"] == {}
    assert prepare(own_card(ROWS), strict=True).facts["problems"] == {}


def test_strict_is_an_option_of_the_command_line(bench, spoilt, tmp_path):
    card = {"own": spoilt.model_dump(mode="json", exclude={"name"})}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(card))
    done = bench("datasets", "prepare", "own.yaml")
    assert done.status == 0
    assert "1  rows without a user or item" in done.out
    for words in (("datasets", "prepare", "own.yaml"), ("run", "--models", "pop", "--dataset", "own.yaml")):
        done = bench(*words, "--strict")
        assert done.status == 1
        assert done.err.startswith("error: 'own' has ")
        assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("titles", "lost"),
    [({0: "x", 1: "y", 2: "z", 3: "w"}, 1), ({77: "other"}, 5)],
    ids=["of some items", "of other items"],
)
def test_items_without_metadata_are_counted_and_strict_refuses_them(own_card, titles, lost):
    card = own_card(ROWS, titles)
    assert prepare(card).facts["problems"] == {"items without metadata": lost}
    with pytest.raises(BenchError, match=rf"{lost} items without metadata"):
        prepare(card, strict=True)


def test_approximate_counts_are_a_warning_that_strict_refuses(own_card):
    counts = {"users": 5, "items": 5, "interactions": 30, "approximate": True}
    card = own_card(ROWS, expected=counts)
    assert prepare(card).facts["warnings"] == {"interactions where about 30 are commonly reported": 25}
    with pytest.raises(BenchError, match="25 interactions where about 30"):
        prepare(card, strict=True)


@pytest.mark.parametrize("off", [0, 1])
def test_approximate_counts_within_a_hundredth_are_met(own_card, off):
    rows = [(user, item, user + item) for user in range(20) for item in range(10)]
    counts = {"users": 20, "items": 10, "interactions": len(rows) + 2 + off, "approximate": True}
    assert bool(prepare(own_card(rows, expected=counts)).facts["warnings"]) == bool(off)


@pytest.mark.parametrize("rows", [[], [("", 1, 5)], [(1, 1, "noon")]], ids=["header alone", "no user", "no time"])
def test_nothing_usable_is_an_error(own_card, new_cache, rows):
    with pytest.raises(BenchError, match=r"'own': the raw files hold no usable interaction"):
        prepare(own_card(rows))
    assert not list(new_cache.rglob("facts.json"))


def test_one_user_alone_can_be_prepared_and_split(own_card):
    card = own_card([(1, item, item) for item in range(10)])
    data = prepare(card)
    parts = split(data, PROTOCOLS["random"])
    assert [len(part) for part in (parts.visible.train, parts.visible.valid, parts.hidden.test)] == [8, 1, 1]
    assert statistics(data, card, PROTOCOLS["random"])["size"].startswith("1 users, 10 items, 10 interactions")


def test_one_user_alone_can_be_measured(bench, own_card, tmp_path):
    card = {"own": own_card([(1, item, item) for item in range(10)]).model_dump(mode="json", exclude={"name"})}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(card))
    done = bench("run", "--models", "pop", "--dataset", "own.yaml", "--results", tmp_path / "results", "--json")
    assert done.status == 0, done.err
    [row] = json.loads(done.out)["rows"]
    assert row["all/ndcg@10"] > 0
    assert row["all/ndcg@10/se_users"] is None


def test_same_rows_in_another_order_count_the_same(spoilt, own_card):
    lines = (ROWS, random.Random(0).sample(ROWS, len(ROWS)))
    assert len({prepare(own_card(rows)).facts["interactions_hash"] for rows in lines}) == 1
