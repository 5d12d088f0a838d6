"""From raw files to a split on disk: right, once, and the same whatever the order of the raw rows."""

import random
import resource
from pathlib import Path

import numpy as np
import pytest

from bench.data import prepare as preparing
from bench.data import splits
from bench.data.catalog import Counts, Filters
from bench.data.catalog import card as find_card
from bench.data.prepare import prepare
from bench.data.protocol import PROTOCOLS, protocol
from bench.data.split import split
from bench.errors import BenchError, DataError
from bench.interactions import save_array

RANDOM = PROTOCOLS["random"]


@pytest.fixture
def card(tiny_cards, new_cache):
    return find_card("tiny")


@pytest.fixture
def prepared(card, write_amazon, tmp_path):
    """Prepare (user, item, time) rows with changes to the card."""

    def make(rows, **changes):
        folder = tmp_path / f"raw-{len(list(tmp_path.iterdir()))}"
        write_amazon(folder, rows)
        return prepare(card.model_copy(update=changes), folder)

    return make


def named(data, interactions):
    """{user id: [item ids in order]} of a matrix."""
    users, items = data.user_texts()["id"], data.item_texts()["id"]
    ends = interactions.indptr
    return {
        users[u]: items[interactions.items[ends[u] : ends[u + 1]]].tolist() for u in range(interactions.n_users)
    }  # fmt: skip


def literal(rows):
    """The same from (user, item, time) rows, in time order."""
    found = {}
    for user, item, _ in sorted(rows, key=lambda row: row[2]):
        found.setdefault(f"u{user:03}", []).append(f"i{item:03}")
    return dict(sorted(found.items()))


def test_prepared_data_is_the_raw_data_by_sorted_ids(prepared, rows):
    data = prepared(rows)
    assert named(data, data.interactions) == literal(rows)
    for texts in (data.user_texts(), data.item_texts()):
        assert texts["id"].tolist() == sorted(set(texts["id"]))
    item = data.item_texts().iloc[3]
    assert (item["id"], item["title"], item["categories"]) == ("i003", "thing 3", "kind 3")
    assert (data.facts["users"], data.facts["items"], data.facts["interactions"]) == (48, 40, len(rows))


def test_raw_row_order_does_not_matter(prepared, rows):
    shuffled = list(rows)
    random.Random(1).shuffle(shuffled)
    data, other = prepared(rows), prepared(shuffled)
    assert data.path != other.path
    assert data.facts["interactions_hash"] == other.facts["interactions_hash"]
    assert split(data, RANDOM).fingerprint == split(other, RANDOM).fingerprint


def test_equal_times_keep_the_order_of_the_raw_file(prepared):
    data = prepared([(0, 5, 1), (0, 2, 1), (0, 9, 0), (1, 2, 1)])
    assert named(data, data.interactions)["u000"] == ["i009", "i005", "i002"]


@pytest.mark.parametrize(("keep", "order"), [("first", ["i001", "i002"]), ("last", ["i002", "i001"])])
def test_repeated_pair_counts_once(prepared, keep, order):
    data = prepared([(0, 1, 0), (0, 2, 1), (0, 1, 2)], filters=Filters(duplicates=keep))
    assert named(data, data.interactions) == {"u000": order}


def test_k_core_is_applied_after_repeated_pairs_are_gone(prepared):
    rows = [(u, i, 10 * u + i) for u in range(3) for i in range(3)] + [(7, 7, time) for time in range(100, 105)]
    data = prepared(rows, filters=Filters(k_core=3))
    assert [left for _, left in data.facts["steps"]] == [14, 10, 9]
    assert data.user_texts()["id"].tolist() == ["u000", "u001", "u002"]


def test_filter_that_leaves_nothing_is_an_error(prepared, rows):
    with pytest.raises(BenchError, match="tiny"):
        prepared(rows, filters=Filters(k_core=1000))


def test_counts_of_the_card_must_be_met(prepared, rows, new_cache):
    with pytest.raises(BenchError, match="card says 48 users, 41 items"):
        prepared(rows, expected=Counts(users=48, items=41, interactions=len(rows)))
    assert [path for path in new_cache.rglob("*") if path.is_file()] == []


def test_nothing_is_done_twice(card, monkeypatch):
    first = prepare(card)
    parts = split(first, RANDOM)

    def never(*arguments):
        raise AssertionError("work was done again")

    monkeypatch.setattr(preparing, "reader", never)
    monkeypatch.setattr(splits, "at_random", never)
    assert prepare(card).path == first.path
    assert split(first, RANDOM).visible.path == parts.visible.path


def test_words_about_a_data_set_prepare_nothing(prepared, rows):
    paths = {prepared(rows).path, prepared(rows, title="Other", licence="none", protocol="loo").path}
    assert len(paths) == 1


def test_changed_raw_file_card_or_code_is_prepared_anew(prepared, rows, monkeypatch):
    paths = [prepared(rows).path, prepared(rows[:-1]).path, prepared(rows, filters=Filters(k_core=2)).path]
    monkeypatch.setattr(preparing, "_code", lambda reader_name: ["another version"])
    paths.append(prepared(rows).path)
    assert len(set(paths)) == 4
    assert all(path.is_dir() for path in paths)


def test_parts_are_an_exact_partition(card):
    data = prepare(card)
    parts = split(data, RANDOM)
    pieces = [parts.visible.train, parts.visible.valid, parts.hidden.test]
    keys = [piece.users * 1000 + piece.items for piece in pieces]
    whole = data.interactions.users * 1000 + data.interactions.items
    np.testing.assert_array_equal(np.sort(np.concatenate(keys)), np.sort(whole))
    assert all(len(piece) and piece.shape == data.interactions.shape for piece in pieces)
    assert (parts.visible.train.lengths >= 1).all()
    assert (parts.hidden.test.lengths >= 1).all()
    for piece in pieces:
        assert all((np.diff(piece.times[a:b]) >= 0).all() for a, b in zip(piece.indptr, piece.indptr[1:], strict=False))


def test_known_and_excluded_rows_can_be_unions_in_time_order(card):
    parts = split(prepare(card), RANDOM)
    both = parts.visible.union("train+valid")
    assert len(both) == len(parts.visible.train) + len(parts.visible.valid)
    for user in range(both.n_users):
        row = slice(both.indptr[user], both.indptr[user + 1])
        assert (np.diff(both.times[row]) > 0).all()
        mine = [part.select(np.array([user])).items.tolist() for part in (parts.visible.train, parts.visible.valid)]
        assert sorted(both.items[row].tolist()) == sorted(mine[0] + mine[1])


def test_fingerprint_names_rules_and_data_but_not_names(card, prepared, rows):
    data = prepare(card)
    same = split(data, RANDOM.model_copy(update={"name": "otherwise"})).fingerprint
    others = [
        split(data, protocol("random", split_seed=1)).fingerprint,
        split(data, protocol("random", history="train+valid")).fingerprint,
        split(data, protocol("random", exclude="train")).fingerprint,
        split(prepared(rows[:-1]), RANDOM).fingerprint,
    ]
    assert same == split(data, RANDOM).fingerprint
    assert len({same, *others}) == 5


@pytest.mark.parametrize("length", [10, 100, 100_000])
def test_array_that_does_not_fit_on_the_disk_is_an_error(tmp_path, length):
    """numpy alone leaves a file without its last bytes, and says nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    array = np.arange(length)
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 + 8 * length - 1, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_array(tmp_path / "array.npy", array)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    save_array(tmp_path / "array.npy", array)
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy", mmap_mode="r"), array)


@pytest.mark.parametrize("file", ["facts.json", "all.items.npy"])
def test_damaged_prepared_data_says_what_to_delete(card, file):
    folder = prepare(card).path
    (folder / file).write_bytes((folder / file).read_bytes()[:20])
    with pytest.raises(BenchError, match=r"damaged .*: delete that folder"):
        split(prepare(card), RANDOM)


def test_limit_of_file_sizes_is_one_line(own_card, new_cache):
    card = own_card([(user, item, user * item) for user in range(40) for item in range(40)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(DataError, match=r"'own' cannot be prepared in .*datasets: .*File too large") as caught:
            prepare(card)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(str(caught.value).splitlines()) == 1
    assert [path for path in new_cache.rglob("*") if path.is_file()] == []
    assert len(prepare(card).interactions) == 1600


def test_data_that_memory_does_not_hold_is_one_line(own_card, new_cache, monkeypatch):
    def read(files, **options):
        raise MemoryError

    monkeypatch.setattr(preparing, "reader", lambda name: read)
    with pytest.raises(DataError, match=r"'own' does not fit into memory: interactions\.csv"):
        prepare(own_card([(1, 1, 1)]))


def test_first_of_several_descriptions_counts(own_card, new_cache):
    """Whatever the reader; the same description twice is no problem."""
    card = own_card([(user, item, item) for user in range(3) for item in range(3)], {0: "zero", 1: "one", 2: "two"})
    path = Path(card.sources[0].files["items"].name)
    path.write_text(path.read_text() + "1,other\n0,zero\n1,third\n2,two\n")
    data = prepare(card)
    assert data.item_texts()["title"].tolist() == ["zero", "one", "two"]
    assert data.facts["problems"] == {"items that are described in different ways (the first one counts)": 1}


def test_first_of_several_descriptions_counts_in_amazons_files_too(card, write_amazon, tmp_path):
    write_amazon(tmp_path / "raw", [(1, 1, 1), (1, 2, 2)])
    metas = ["{'asin': 'i001', 'title': 'A'}", "{'asin': 'i002', 'title': 'B'}", '{"asin": "i001", "title": "C"}']
    (tmp_path / "raw" / "meta_tiny.json").write_text("\n".join(metas))
    data = prepare(card, tmp_path / "raw")
    assert data.item_texts()["title"].tolist() == ["A", "B"]
    assert sum(data.facts["problems"].values()) == 1


def test_row_without_a_rating_is_an_interaction_unless_ratings_are_asked_for(own_card, new_cache):
    rows = [(1, 1, 0, 5), (1, 2, 1, ""), (2, 1, 2, ""), (2, 2, 3, 2)]
    assert len(prepare(own_card(rows)).interactions) == 4
    assert prepare(own_card(rows)).facts["problems"] == {}
    assert len(prepare(own_card(rows, filters={"min_rating": 3})).interactions) == 1


def test_ids_that_read_like_a_missing_value_are_kept_and_told(own_card, new_cache):
    rows = [("nan", 1, 0, 5), ("None", 2, 1, 4), ("Nana", 1, 2, 3), ("7", "NULL", 3, 2)]
    data = prepare(own_card(rows))
    assert data.facts["users"] == 4
    assert data.facts["warnings"] == {"users and items whose id reads like a missing value (NULL, None, nan)": 3}
