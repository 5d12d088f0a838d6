"""The two RAW files of Food.com."""

import gzip

import pytest

from bench.data.sources import reader
from bench.errors import BenchError

INTERACTIONS = """user_id,recipe_id,date,rating,review
38094,40893,2003-02-17,4,"Great, with a
salad"
1293707,40893,2011-12-21,5,So simple
"""
RECIPES = """name,id,minutes,contributor_id,submitted,tags,nutrition,n_steps,steps,description,ingredients,n_ingredients
mac &amp; cheese,40893,5,1,2003-01-01,"['60-minutes-or-less', 'easy']","[1.0]",1,"['cook']","for
two",['salt'],1
"""
HEAD = RECIPES.splitlines()[0] + "\n"


@pytest.fixture
def read(tmp_path):
    def read(interactions=INTERACTIONS, recipes=RECIPES):
        paths = {}
        for role, text in (("interactions", interactions), ("recipes", recipes)):
            paths[role] = tmp_path / f"{role}.csv.gz"
            paths[role].write_bytes(gzip.compress(text if isinstance(text, bytes) else text.encode()))
        return reader("food.com")(paths)

    return read


def recipe(tags="['a']", name="soup", description="hot"):
    return f'{name},1,5,1,2003-01-01,"{tags}",[],1,[],{description},[],1\n'


def test_dates_ratings_and_texts(read):
    found = read()
    assert found.interactions.to_dict("records") == [
        {"user": "38094", "item": "40893", "time": 1_045_440_000, "rating": 4.0},
        {"user": "1293707", "item": "40893", "time": 1_324_425_600, "rating": 5.0},
    ]
    assert found.items.to_dict("records") == [
        {
            "id": "40893", "name": "mac & cheese", "description": "for two",
            "tags": "60-minutes-or-less, easy", "ingredients": "salt",
        }
    ]  # fmt: skip
    assert (len(found.users), found.problems) == (0, {})


@pytest.mark.parametrize("tags", ["__import__('os').system('touch hit')", "[", "7", "['a' * 9]", "[" * 5000])
def test_tags_that_are_no_list_are_counted_and_never_executed(read, tmp_path, tags):
    found = read(recipes=HEAD + recipe(tags) + recipe())
    assert found.items["tags"].tolist() == ["", "a"]
    assert found.problems == {"recipes whose tags are no Python list": 1}
    assert not (tmp_path / "hit").exists()


def test_missing_fields_are_empty(read):
    found = read(recipes=HEAD + recipe("", "", ""))
    assert found.items.to_dict("records") == [
        {"id": "1", "name": "", "description": "", "tags": "", "ingredients": ""}
    ]  # fmt: skip


@pytest.mark.parametrize(
    "row", ["1,2,2003-02-17", ",2,2003-02-17,4,x", "1,,2003-02-17,4,x", "1,2,,4,x", "1,2,soon,4,x",
            "1,2,1950-01-01,4,x", "1,2,2003-02-17,4,x,y"],
)  # fmt: skip
def test_bad_row_is_counted(read, row):
    found = read(f"{INTERACTIONS}{row}\n")
    assert len(found.interactions) == 2
    assert list(found.problems.values()) == [1]


@pytest.mark.parametrize(("rating", "problems"), [("", {}), ("four", {"ratings that are no number": 1})])
def test_row_without_a_rating_is_an_interaction(read, rating, problems):
    found = read(f"{INTERACTIONS}1,2,2003-02-17,{rating},x\n")
    assert found.interactions["rating"].isna().tolist() == [False, False, True]
    assert found.problems == problems


def test_row_that_is_no_utf8_is_counted(read):
    found = read(INTERACTIONS.encode() + b"7,40893,2003-02-17,4,caf\xe9\n8,\xff,2003-02-17,4,x\n")
    assert len(found.interactions) == 3  # the review is not read, so what it is written in does not matter
    assert found.problems == {"rows that are no UTF-8": 1}


def test_ratings_are_numbers_even_if_a_row_is_no_utf8(read):
    found = read(INTERACTIONS.encode() + b"8,\xff,2003-02-17,4,x\n")
    assert found.interactions["rating"].tolist() == [4.0, 5.0]


@pytest.mark.parametrize(("interactions", "recipes"), [("", RECIPES), (INTERACTIONS, ""), (RECIPES, INTERACTIONS)])
def test_empty_or_exchanged_files_are_an_error(read, interactions, recipes):
    with pytest.raises(BenchError, match=r"(interactions|recipes)\.csv\.gz"):
        read(interactions, recipes)
