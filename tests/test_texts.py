"""Texts of items and users: built from templates, or as published."""

import gzip
import itertools
import json

import pandas as pd
import pytest

from bench.data.catalog import Template, card
from bench.data.prepare import prepare
from bench.data.texts import fill
from bench.errors import BenchError

COLAREC = Template(parts=["title {title}", "brand {brand}", "categories {categories}"])
FIELDS = {"title": "Lip Balm", "brand": "Acme", "categories": "Lips Care"}


def table(*rows):
    return pd.DataFrame([{**FIELDS, **row} for row in rows]).assign(id="x")


def test_colarec_form():
    assert fill(COLAREC, table({})) == ["title Lip Balm brand Acme categories Lips Care"]


def test_gpt2_form():
    ml = card("ml-100k").texts
    films = pd.DataFrame({"id": ["1"], "title": ["Heat"], "genres": ["Action, Crime"]})
    users = pd.DataFrame(
        {"id": ["1"], "gender": ["male"], "age": ["24"], "age_group": ["18-24"], "occupation": ["writer"]}
    )
    assert fill(ml.item, films) == ["Movie: Heat. Genres: Action, Crime."]
    assert fill(ml.user, users) == ["User profile: Gender is male, Age group is 18-24, Occupation is writer."]


@pytest.mark.parametrize("missing", [some for n in range(4) for some in itertools.combinations(FIELDS, n)])
def test_missing_field_is_left_out_with_its_label(missing):
    expected = " ".join(f"{name} {text}" for name, text in FIELDS.items() if name not in missing)
    assert fill(COLAREC, table(dict.fromkeys(missing, ""))) == [expected]


def test_nothing_known_is_no_text_at_all():
    template = Template(parts=["Gender is {gender}"], prefix="User profile: ", suffix=".")
    assert fill(template, pd.DataFrame({"id": ["1", "2"], "gender": ["", "female"]})) == [
        "", "User profile: Gender is female.",
    ]  # fmt: skip


def test_braces_in_a_field_are_text():
    assert fill(Template(parts=["{title}"]), table({"title": "{brand} {0} {"})) == ["{brand} {0} {"]


@pytest.mark.parametrize("part", ["title", "{}", "{0}", "{colour}", "{title} {brand}", "{title", "{title.upper}", "}"])
def test_part_that_names_no_single_field_is_an_error(part):
    with pytest.raises(BenchError, match="should name one of the fields title, brand, categories in braces"):
        fill(Template(parts=[part]), table({}))


@pytest.fixture
def built(write_amazon, tmp_path, tiny_cards):
    """Item texts of three reviewed items, the last without metadata."""

    def build(*metas):
        write_amazon(tmp_path / "raw", [(1, 1, 1), (1, 2, 2), (1, 3, 3)])
        (tmp_path / "raw" / "meta_tiny.json").write_text("".join(f"{meta!r}\n" for meta in metas))
        found = card("tiny").model_copy(update={"texts": card("tiny").texts.model_copy(update={"item": COLAREC})})
        return prepare(found, tmp_path / "raw").item_texts().set_index("id")["text"].to_dict()

    return build


def test_texts_hold_no_none_no_nan_and_no_entities(built):
    texts = built(
        {"asin": "i001", "title": "A &amp; B &#39;n&#39; C", "brand": None, "categories": [["Beauty", "Lips", "Care"]]},
        {"asin": "i002", "title": 3.5, "categories": [["Beauty", "Lips"], ["Sale", "Care", "Lips"]]},
    )  # fmt: skip
    assert texts == {
        "i001": "title A & B 'n' C categories Lips Care", "i002": "categories Lips Care", "i003": "",
    }  # fmt: skip


def test_title_that_reads_nan_or_none_is_kept(built):
    """A band is called None, and nan is bread."""
    texts = built({"asin": "i001", "title": "nan"}, {"asin": "i002", "brand": "None"})
    assert texts == {"i001": "title nan", "i002": "brand None", "i003": ""}


@pytest.fixture
def corpus(raw_dir):
    with gzip.open(raw_dir / "colarec-phone" / "corpus_512.json.gz") as file:
        return {str(item["atom_id"]): item for item in json.load(file).values()}


@pytest.mark.raw
def test_published_texts_and_identifiers_are_verbatim(raw_dir, corpus):
    items = prepare(card("colarec-phone"), raw_dir).item_texts()
    assert len(items) == len(corpus) == 10_429
    assert items["text"].tolist() == [corpus[name]["content"] for name in items["id"]]
    assert items["gid"].tolist() == [" ".join(str(code) for code in corpus[name]["cid"]) for name in items["id"]]
    assert items["gid"].is_unique


@pytest.mark.raw
@pytest.mark.parametrize("name", ["beauty", "sports", "recipe-slice", "ml-100k"])
def test_real_texts_hold_no_missing_values_and_no_entities(raw_dir, name):
    data = prepare(card(name), raw_dir)
    for texts in (data.item_texts(), data.user_texts()):
        for column in texts.columns.drop("id"):
            assert not texts[column].isin(["nan", "None", "NaN"]).mean() > 0.001
            assert not texts[column].str.contains(r"&(?:amp|lt|gt|quot|nbsp|#\d+);", regex=True).any()
    items = data.item_texts()
    assert (items["text"] != "").mean() > 0.99
    template = card(name).texts.item
    assert items["text"].iloc[0] == fill(template, items.iloc[:1])[0]


@pytest.mark.raw
def test_first_category_level_is_dropped(raw_dir):
    texts = prepare(card("beauty"), raw_dir).item_texts()
    assert not texts["categories"].str.startswith("Beauty").any()
    assert texts["text"].str.contains("categories ").mean() > 0.99
