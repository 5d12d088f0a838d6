"""Every named protocol, from raw rows to the parts on disk."""

import gzip
import json
import random

import numpy as np
import pandas as pd
import pytest
import yaml

import bench as api
from bench.data.catalog import Card
from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.split import split
from bench.errors import BenchError

BUNDLES = ("random", "colarec", "loo", "loo:2", "temporal", "kfold:3", "strong")
ARRAYS = ("indptr", "items", "times")


@pytest.fixture
def all_rows(rows):
    """The rows of ``tiny``, of a user with one interaction and of one with two; all at different times."""
    return [*rows, (48, 0, 5), (49, 1, 15), (49, 2, 25)]


@pytest.fixture
def data(own_card, all_rows):
    return prepare(own_card(all_rows))


def pairs(part):
    found = list(zip(part.users.tolist(), part.items.tolist(), strict=True))
    assert len(set(found)) == len(found)
    return set(found)


def parts_of(found):
    """Pairs by name of the part."""
    named = {"train": found.visible.train, "valid": found.visible.valid, "test": found.hidden.test}
    if "known" in found.visible.facts["parts"]:
        named["known"] = found.visible.load("known")
    return {name: pairs(part) for name, part in named.items()}


def splits(data, name, **changes):
    rules = protocol(name, **changes)
    return [split(data, rules, fold) for fold in rules.folds]


@pytest.mark.parametrize("name", BUNDLES)
def test_every_interaction_is_in_exactly_one_part(data, name):
    for found in splits(data, name):
        parts = parts_of(found)
        assert sum(len(part) for part in parts.values()) == len(data.interactions)
        assert set.union(*parts.values()) == pairs(data.interactions)
        assert all(parts.values())


@pytest.mark.parametrize("name", BUNDLES)
def test_folder_of_the_worker_holds_no_test_pair(data, name):
    for found in splits(data, name):
        folder = found.visible.path
        names = ["train", "valid", *(["known"] if name == "strong" else [])]
        arrays = {f"{part}.{array}.npy" for part in names for array in ARRAYS}
        assert {path.name for path in folder.iterdir()} == {
            *arrays, "facts.json", "item_texts.parquet", "user_texts.parquet",
        }  # fmt: skip
        seen = [pairs(found.visible.load(part)) for part in names]
        assert not set.union(*seen) & pairs(found.hidden.test)
        assert folder not in found.hidden.path.parents
        assert "test" not in (folder / "facts.json").read_text()


@pytest.mark.parametrize("name", BUNDLES)
def test_order_of_raw_rows_does_not_matter_when_times_are_distinct(data, own_card, all_rows, name):
    shuffled = list(all_rows)
    random.Random(3).shuffle(shuffled)
    other = prepare(own_card(shuffled))
    for one, two in zip(splits(data, name), splits(other, name), strict=True):
        assert one.fingerprint == two.fingerprint
        assert parts_of(one) == parts_of(two)


def test_bundles_have_fingerprints_of_their_own(data):
    found = [splits(data, name)[0].fingerprint for name in BUNDLES]
    assert len(set(found)) == len(BUNDLES)


def test_folds_share_a_fingerprint_and_test_each_interaction_once(data):
    found = splits(data, "kfold:3")
    assert len({one.fingerprint for one in found}) == 1
    tests = [pairs(one.hidden.test) for one in found]
    assert sum(map(len, tests)) == len(set.union(*tests))
    several = {pair for pair in pairs(data.interactions) if data.interactions.lengths[pair[0]] > 1}
    assert set.union(*tests) == several


def test_of_a_user_with_two_interactions_one_is_train_and_one_test(data):
    users = data.user_texts()["id"].tolist()
    one, two = users.index("48"), users.index("49")
    for name in ("random", "colarec", "loo", "loo:2"):
        [found] = splits(data, name)
        assert [part.lengths[one] for part in (found.visible.train, found.visible.valid, found.hidden.test)] == [
            1,
            0,
            0,
        ]
        assert [part.lengths[two] for part in (found.visible.train, found.visible.valid, found.hidden.test)] == [
            1,
            0,
            1,
        ]


def items_of(data, part, user="0"):
    row = part.select(np.array([data.user_texts()["id"].tolist().index(user)]))
    return data.item_texts()["id"].to_numpy()[row.items].tolist()


@pytest.mark.parametrize(
    ("name", "expected"), [("loo", (["7", "5"], ["2"], ["9"])), ("loo:2", (["7"], ["5"], ["2", "9"]))]
)
def test_ties_in_time_follow_the_raw_rows(own_card, name, expected):
    data = prepare(own_card([(0, 5, 1), (0, 2, 1), (0, 9, 1), (0, 7, 0), (1, 7, 0)]))
    [found] = splits(data, name)
    parts = (found.visible.train, found.visible.valid, found.hidden.test)
    assert tuple(items_of(data, part) for part in parts) == expected


def test_temporal_parts_follow_each_other(data):
    [found] = splits(data, "temporal")
    train, valid, test = (part.times for part in (found.visible.train, found.visible.valid, found.hidden.test))
    assert train.max() < valid.min() <= valid.max() < test.min()


def test_strong_generalisation_knows_a_share_of_users_that_are_not_in_train(data):
    [found] = splits(data, "strong")
    known, held = found.visible.load("known"), found.visible.valid.lengths + found.hidden.test.lengths
    assert (found.visible.train.lengths[held > 0] == 0).all()
    assert (known.lengths[held > 0] >= 1).all()
    assert (known.lengths[held == 0] == 0).all()
    total = (known.lengths + held)[held > 0]
    assert (known.lengths[held > 0] == np.minimum(np.ceil(0.8 * total), total - 1)).all()
    for names in ("train", "train+valid"):  # what is known of a held-out user is its history
        np.testing.assert_array_equal(found.visible.union(names).lengths[held > 0] >= known.lengths[held > 0], True)


def release(folder, rows, parts):
    """Files in the form of the ColaRec release; ``parts`` names the part of each row."""
    paths = {}
    for name, file in (("train", "train_time_inter"), ("valid", "valid_inter"), ("test", "test_inter")):
        own = [row for row, part in zip(rows, parts, strict=True) if part == name]
        timed = name == "train"
        lines = ["user_id,item_id" + (",time" if timed else "")]
        lines += [",".join(map(str, row if timed else row[:2])) for row in own]
        paths[name] = folder / f"{file}.csv.gz"
        paths[name].write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    items = sorted({item for _, item, _ in rows})
    corpus = {str(i): {"atom_id": item, "cid": [1, i], "content": f"thing {item}"} for i, item in enumerate(items)}
    paths["corpus"] = folder / "corpus.json.gz"
    paths["corpus"].write_bytes(gzip.compress(json.dumps(corpus).encode()))
    return {role: {"name": str(path)} for role, path in paths.items()}


def test_published_parts_are_those_of_the_files(tmp_path, all_rows, own_card):
    rng = random.Random(1)
    parts = [rng.choice(["train", "train", "valid", "test"]) for _ in all_rows]
    files = release(tmp_path, all_rows, parts)
    data = prepare(Card(name="own", title="Own", sources=[{"reader": "colarec-release", "files": files}]))
    [found] = splits(data, "published")
    users, items = data.user_texts()["id"], data.item_texts()["id"]
    for name, part in parts_of(found).items():
        expected = {(str(u), str(i)) for (u, i, _), own in zip(all_rows, parts, strict=True) if own == name}
        assert {(users[u], items[i]) for u, i in part} == expected
    assert protocol("published").exclude == "train"
    with pytest.raises(BenchError, match="give no split: choose another --protocol"):
        split(prepare(own_card(all_rows)), protocol("published"))


@pytest.fixture
def late_items(own_card):
    """Items 90 to 93 come up only when eight tenths of the time are over."""
    rows = [(user, item, 8 * user + item) for user in range(10) for item in range(8)]
    rows += [(user, 90 + user % 4, 200 + 2 * user) for user in range(10)]
    rows += [(user, 8 + user % 2, 201 + 2 * user) for user in range(10)] + [(11, 8, 1), (12, 9, 2)]
    return own_card(rows, protocol="temporal")


def test_items_without_train_interaction_are_no_candidates_and_no_test_cases(late_items):
    data = prepare(late_items)
    [every], [seen] = splits(data, "temporal"), splits(data, "temporal", candidates="train")
    cold = sorted(set(range(data.n_items)) - set(every.visible.train.items.tolist()))
    assert cold
    assert set(cold) & set(every.hidden.test.items.tolist())
    assert set(every.hidden.test.items.tolist()) - set(cold)
    assert seen.visible.non_candidates.tolist() == cold
    assert len(every.visible.non_candidates) == 0
    assert pairs(seen.hidden.test) == {pair for pair in pairs(every.hidden.test) if pair[1] not in cold}
    assert parts_of(seen)["train"] == parts_of(every)["train"]
    assert seen.fingerprint != every.fingerprint


@pytest.mark.parametrize("names", ["train", "train+valid"])
@pytest.mark.parametrize("name", ["temporal", "strong", "random"])
def test_exclusion_is_the_named_parts_and_non_candidates_each_once(late_items, name, names):
    rules = protocol(name, candidates="train", exclude=names)
    [found] = splits(prepare(late_items), name, candidates="train", exclude=names)
    users = np.arange(found.visible.n_users)[::-1]
    excluded, own = found.visible.inputs(rules, users).exclude, found.visible.union(names).select(users)
    for row in range(len(users)):
        got, mine = (m.items[m.indptr[row] : m.indptr[row + 1]].tolist() for m in (excluded, own))
        assert len(set(got)) == len(got)
        assert set(got) == {*mine, *found.visible.non_candidates.tolist()}


@pytest.mark.parametrize(
    ("rows", "name", "changes"),
    [
        ([(user, 1, user) for user in range(9)], "random", {}),
        ([(user, user, user) for user in range(9)], "temporal", {"candidates": "train"}),
    ],
    ids=["one interaction each", "nothing seen in train"],
)
def test_nothing_to_test_is_an_error(own_card, rows, name, changes):
    with pytest.raises(BenchError, match=r"leaves no test interaction of 'own': choose another one"):
        splits(prepare(own_card(rows)), name, **changes)


def test_lists_hold_only_candidates(late_items, tmp_path):
    card = {late_items.name: late_items.model_dump(mode="json", exclude={"name"})}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(card))
    frame = api.run("random", str(tmp_path / "own.yaml"), candidates="train", results=tmp_path / "results", ks=(3,))
    [found] = splits(prepare(late_items), "temporal", candidates="train")
    [path] = tmp_path.glob("results/cells/*/lists.parquet")
    lists = pd.read_parquet(path)
    assert not {item for row in lists["item"] for item in row} & set(found.visible.non_candidates.tolist())
    assert frame["violations"].tolist() == [0]
    assert len(lists) == np.count_nonzero(found.hidden.test.lengths)


def test_nothing_is_excluded_on_demand_and_seen_items_are_no_violation_then(own_card, tmp_path):
    """All of 4 items are seen by all users, so lists under ``none`` are whole, and empty otherwise."""
    card = own_card([(user, item, 10 * user + item) for user in range(8) for item in range(4)], protocol="loo")
    data = prepare(card)
    [none], [plain] = splits(data, "loo", exclude="none"), splits(data, "loo")
    users = np.arange(none.visible.n_users)
    assert none.visible.inputs(protocol("loo", exclude="none"), users).exclude.lengths.tolist() == [0] * 8
    assert none.fingerprint != plain.fingerprint
    assert parts_of(none) == parts_of(plain)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"own": card.model_dump(mode="json", exclude={"name"})}))
    frames = {}
    for exclude in ("none", "train+valid"):
        frames[exclude] = api.run("random", str(tmp_path / "own.yaml"), exclude=exclude, results=tmp_path / exclude)
    assert frames["none"]["violations"].tolist() == frames["train+valid"]["violations"].tolist() == [0]
    assert frames["none"]["all/recall@5"].tolist() == [1.0]  # 4 items fit into 5 slots, whatever their order
    found = {name: pd.read_parquet(next(tmp_path.glob(f"{name}/cells/*/lists.parquet")))["item"] for name in frames}
    assert {len({item for item in row if item >= 0}) for row in found["none"]} == {4}
    assert {len({item for item in row if item >= 0}) for row in found["train+valid"]} == {1}
