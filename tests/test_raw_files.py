"""Where raw files are looked for, and the real ones."""

import pytest
from pydantic import ValidationError

from bench.data import raw
from bench.data.catalog import Card, File, card, cards
from bench.data.prepare import prepare
from bench.data.protocol import PROTOCOLS
from bench.data.split import split
from bench.errors import BenchError

NAMES = ("reviews_Beauty_5.json.gz", "meta_Beauty.json.gz")


def put(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(name)


@pytest.mark.parametrize(
    ("below", "names"),
    [("", NAMES), ("amazon2014", NAMES), ("", [name.removesuffix(".gz") for name in NAMES])],
    ids=["in the folder", "one folder below", "unpacked"],
)
def test_files_are_found(tmp_path, below, names):
    put(tmp_path / below, *names)
    found = raw.locate(card("beauty"), tmp_path)
    assert sorted(path.name for path in found.paths.values()) == sorted(names)
    assert set(found.checksums()) == set(names)


def test_folder_comes_from_the_environment(tmp_path, monkeypatch):
    put(tmp_path, *NAMES)
    monkeypatch.setenv("BENCH_RAW_DIR", str(tmp_path))
    assert raw.locate(card("beauty"), None).paths["reviews"] == tmp_path / NAMES[0]


@pytest.mark.parametrize("there", [(), ("RAW_recipes.csv",)])
def test_missing_files_that_cannot_be_fetched_are_named_with_their_place(tmp_path, there):
    put(tmp_path, *there)
    with pytest.raises(BenchError) as caught:
        raw.locate(card("recipe"), tmp_path)
    for said in ("log in to Kaggle", "https://www.kaggle.com/", "RAW_interactions.csv", f"into {tmp_path}"):
        assert said in str(caught.value)


def test_missing_folder_is_an_error(tmp_path):
    with pytest.raises(BenchError, match="nowhere does not exist"):
        raw.locate(card("beauty"), tmp_path / "nowhere")


def test_same_file_in_two_places_is_an_error(tmp_path):
    put(tmp_path / "a", *NAMES)
    put(tmp_path / "b", *NAMES)
    with pytest.raises(BenchError, match="there twice"):
        raw.locate(card("beauty"), tmp_path)


def test_files_of_one_name_are_told_apart(tmp_path):
    """What is kept of them is made again when either changes."""
    card, paths = two_of_one_name(tmp_path)
    before = raw.locate(card, tmp_path).checksums()
    assert sorted(before) == ["interactions-2: rows.csv", "interactions: rows.csv"]
    paths[0].write_text("other")
    after = raw.locate(card, tmp_path).checksums()
    assert {name for name in after if after[name] != before[name]} == {"interactions: rows.csv"}


def two_of_one_name(tmp_path):
    paths = [tmp_path / part / "rows.csv" for part in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(f"rows of {path.parent.name}")
    files = {role: {"name": str(path)} for role, path in zip(("interactions", "interactions-2"), paths, strict=True)}
    source = {"reader": "table", "files": files}
    return Card.model_validate({"name": "two", "title": "Two", "sources": [source]}), paths


def test_a_list_of_checksums_beside_files_of_ones_own_is_not_ours(tmp_path):
    card, paths = two_of_one_name(tmp_path)
    (paths[0].parent / "checksums.json").write_text('{"rows.csv": "md5:abc"}')
    assert len(raw.locate(card, tmp_path).checksums()) == 2


@pytest.mark.parametrize("name", ["../rows.csv", "/tmp/rows.csv", "below/rows.csv"])
def test_a_file_that_is_fetched_has_a_name_and_no_path(name):
    with pytest.raises(ValidationError, match="is a path: give the name alone"):
        File(name=name, url="http://localhost/rows.csv")


def test_every_card_can_be_used():
    for found in cards().values():
        assert found.protocol in PROTOCOLS
        assert found.sources


@pytest.mark.raw
def test_beauty_has_its_published_size(raw_dir):
    data = prepare(card("beauty"), raw_dir)
    assert (data.n_users, data.n_items, len(data.interactions)) == (22_363, 12_101, 198_502)
    assert data.interactions.lengths.min() == 5
    assert data.facts["problems"] == {}
    parts = split(data, PROTOCOLS["colarec"])
    assert len(parts.visible.valid) == len(parts.hidden.test)
    assert parts.hidden.test.lengths.min() >= 1


@pytest.mark.raw
def test_movielens_from_zip_and_from_recbole_are_the_same(raw_dir):
    both = card("ml-100k")
    data = [prepare(both.model_copy(update={"sources": [source]}), raw_dir) for source in both.sources]
    assert len({d.path for d in data}) == 2
    assert (data[0].n_users, data[0].n_items, len(data[0].interactions)) == (943, 1682, 100_000)
    assert len({d.facts["interactions_hash"] for d in data}) == 1
    assert len({split(d, PROTOCOLS["random"]).fingerprint for d in data}) == 1
    assert data[0].user_texts().equals(data[1].user_texts())
    assert data[0].item_texts().equals(data[1].item_texts())
    assert len({d.facts["texts_hash"] for d in data}) == 1
    assert len({split(d, PROTOCOLS["random"]).visible.content for d in data}) == 1
