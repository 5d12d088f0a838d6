"""Metrics by group of users and of items, against sums by hand."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bench as api
from bench.data import visible
from bench.data.catalog import LongTail
from bench.data.groups import find_groups
from bench.data.hidden import HiddenTest
from bench.data.protocol import PROTOCOLS
from bench.interactions import Recommendations, save_interactions
from bench.runs.evaluate import checked, measure
from bench.testing import MemorySplit, interactions_from

N_USERS, N_ITEMS, K = 30, 24, 5


def discounted(places):
    return sum(1 / math.log2(place + 2) for place in places)


def by_hand(listed, wanted):
    """Metrics of one list for one user's relevant items."""
    hits = [place for place, item in enumerate(listed[:K]) if item in wanted]
    return {
        "recall": len(hits) / len(wanted),
        "precision": len(hits) / K,
        "hit": float(bool(hits)),
        "mrr": 1 / (hits[0] + 1) if hits else 0.0,
        "ndcg": discounted(hits) / discounted(range(min(K, len(wanted)))),
    }


@pytest.fixture
def case(tmp_path):
    """Random lists and parts; some users have no test item, and some items no train interaction."""
    rng = np.random.default_rng(4)
    orders = [rng.permutation(N_ITEMS) for _ in range(N_USERS)]
    popular = np.sort(rng.geometric(0.2, N_ITEMS) % 18)[::-1]
    train, test = [], []
    for user, order in enumerate(orders):
        held = sorted(order[: user % 5].tolist())
        test.append(held)
        train.append([i for i in range(N_ITEMS - 4) if i not in held and rng.random() < popular[i] / 20])
    train[3] = []
    matrix = interactions_from(train, N_ITEMS)
    (tmp_path / "hidden").mkdir()
    save_interactions(tmp_path / "hidden", "test", interactions_from(test, N_ITEMS))
    (tmp_path / "hidden" / "facts.json").write_text(json.dumps({"dataset": "made", "users": N_USERS, "items": N_ITEMS}))
    users = np.array([user for user in range(N_USERS) if test[user]], np.int32)
    lists = np.stack([rng.permutation(N_ITEMS)[:K] for _ in users]).astype(np.int32)
    columns = {"user": users, "item": pa.FixedSizeListArray.from_arrays(pa.array(lists.reshape(-1)), K)}
    pq.write_table(pa.table(columns), tmp_path / "lists.parquet")
    names = [f"u{user}" for user in range(N_USERS)]
    (tmp_path / "mine.csv").write_text(
        "user,group\n" + "".join(f"u{u},{'odd' if u % 2 else 'even'}\n" for u in range(9))
    )
    families = ["popularity", "cold", "quartiles", str(tmp_path / "mine.csv")]
    groups = find_groups(matrix, LongTail(rule="train-at-most", value=4), names, families)
    split = SimpleNamespace(hidden=HiddenTest(tmp_path / "hidden"))
    measured = measure(tmp_path, split, groups, [K])
    return SimpleNamespace(
        train=train, test=test, users=users.tolist(), lists=lists.tolist(), folder=tmp_path, measured=measured
    )


def members(case):
    """Users and items of each group, by its definition."""
    lengths = [len(row) for row in case.train]
    counts = [sum(item in row for row in case.train) for item in range(N_ITEMS)]
    bound = sorted(counts, reverse=True)[math.ceil(0.2 * N_ITEMS) - 1]
    users = {
        "all": range(N_USERS),
        "long tail": [u for u in range(N_USERS) if lengths[u] <= 4],
        "head": [u for u in range(N_USERS) if lengths[u] > 4],
        "5-9": [u for u in range(N_USERS) if 5 <= lengths[u] <= 9],
        "cold users": [u for u in range(N_USERS) if lengths[u] == 0],
        "odd": [1, 3, 5, 7],
        "even": [0, 2, 4, 6, 8],
    }
    items = {
        "popular items": [i for i in range(N_ITEMS) if counts[i] >= bound],
        "niche items": [i for i in range(N_ITEMS) if counts[i] < bound],
        "cold items": [i for i in range(N_ITEMS) if counts[i] == 0],
    }
    return users, items


def expected(case):
    """{group: {user: metrics}}."""
    users, items = members(case)
    lists = dict(zip(case.users, case.lists, strict=True))
    found = {
        name: {u: by_hand(lists[u], case.test[u]) for u in own if case.test[u]} for name, own in users.items()
    }  # fmt: skip
    for name, own in items.items():
        wanted = {u: [i for i in case.test[u] if i in own] for u in case.users}
        found[name] = {u: by_hand(lists[u], relevant) for u, relevant in wanted.items() if relevant}
    return found


def test_means_errors_and_sizes_of_every_group(case):
    for name, users in expected(case).items():
        result = case.measured[name]
        assert result.n == len(users) > 0
        for metric in ("recall", "precision", "hit", "mrr", "ndcg"):
            values = [found[metric] for found in users.values()]
            assert result.metrics[f"{metric}@{K}"] == pytest.approx(np.mean(values)), (name, metric)
            if len(values) > 1:
                error = np.std(values, ddof=1) / len(values) ** 0.5
                assert result.errors[f"{metric}@{K}"] == pytest.approx(error), (name, metric)


def test_every_group_and_user_has_its_place_in_the_file(case):
    frame = pd.read_parquet(case.folder / "per_user.parquet").set_index("user")
    assert frame.index.tolist() == case.users
    for name, users in expected(case).items():
        for metric in ("recall", "ndcg"):
            column = frame[f"{name}/{metric}@{K}"].dropna()
            assert column.to_dict() == pytest.approx({user: found[metric] for user, found in users.items()}), name


def test_items_of_a_family_share_the_test_items(case):
    """Each test item is popular or niche, never both: their recalls add up, weighted by their numbers."""
    _, items = members(case)
    assert sorted([*items["popular items"], *items["niche items"]]) == list(range(N_ITEMS))
    frame = pd.read_parquet(case.folder / "per_user.parquet").set_index("user").fillna(0)
    for user in case.users:
        sizes = {name: len(set(case.test[user]) & set(items[name])) for name in ("popular items", "niche items")}
        hits = sum(frame.loc[user, f"{name}/recall@{K}"] * size for name, size in sizes.items())
        assert hits == pytest.approx(frame.loc[user, f"all/recall@{K}"] * len(case.test[user]), abs=1e-5)


def test_group_without_a_case_has_no_numbers(case):
    lone = find_groups(interactions_from([[0]] * N_USERS, N_ITEMS), LongTail(rule="train-at-most", value=0))
    result = measure(case.folder, SimpleNamespace(hidden=HiddenTest(case.folder / "hidden")), lone, [K])["long tail"]
    assert (result.n, result.metrics, result.errors) == (0, {}, {})


def test_groups_are_asked_for_by_name_or_file_and_need_no_new_training(tiny_cards, tmp_path, monkeypatch):
    api.run("pop", "tiny", results=tmp_path / "results")
    (tmp_path / "mine.csv").write_text("user,group\n" + "".join(f"u{user:03},early\n" for user in range(24)))

    def never(*arguments):
        raise AssertionError("a cell was run again")

    monkeypatch.setattr("bench.runs.execute._Executor.work", never)
    frame = api.run("pop", "tiny", results=tmp_path / "results", groups=["popularity", "deciles", "mine.csv"])
    for group in ("all", "long tail", "popular items", "niche items", "D1", "early"):
        assert f"{group}/ndcg@10" in frame
    [path] = tmp_path.glob("results/cells/*/result.json")
    assert json.loads(path.read_text())["groups"]["early"]["n"] == 24


def test_group_that_was_asked_for_before_gets_new_cut_offs_too(tiny_cards, tmp_path):
    for ks, groups in (([5], ["quartiles"]), ([10], []), ([5, 10], ["quartiles"])):
        api.run("pop", "tiny", results=tmp_path, ks=ks, groups=groups)
    [path] = tmp_path.glob("cells/*/result.json")
    found = json.loads(path.read_text())["groups"]
    assert {"ndcg@5", "ndcg@10"} <= set(found["Q1"]["metrics"])
    assert "Q1/ndcg@10" in pd.read_parquet(path.parent / "per_user.parquet").columns


def test_groups_of_two_runs_at_once_are_both_kept(tiny_cards, start_bench, tmp_path):
    api.run("pop", "tiny", results=tmp_path)
    words = ("run", "--models", "pop", "--dataset", "tiny", "--results", tmp_path, "--groups")
    running = [start_bench(*words, family) for family in ("quartiles", "deciles", "cold")]
    said = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    [path] = tmp_path.glob("cells/*/result.json")
    assert {"Q1", "D1", "cold users"} <= set(json.loads(path.read_text())["groups"])
    columns = pd.read_parquet(path.parent / "per_user.parquet").columns
    assert {"Q4/ndcg@10", "D10/ndcg@10"} <= set(columns)


@pytest.mark.parametrize("at_once", [1, 60, 10**9])
def test_lists_are_checked_in_chunks_where_many_items_are_excluded_for_everybody(monkeypatch, at_once):
    """Of 48 items some have no train interaction. Lists hold one of them, one of train, and one twice."""
    monkeypatch.setattr(visible, "_EXCLUDED_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    train = interactions_from([rng.choice(40, 5, replace=False).tolist() for _ in range(60)], 48)

    class Ranked(MemorySplit):
        candidates = "train"

    data, rules = Ranked(train, interactions_from([[]] * 60, 48)), PROTOCOLS["colarec"].model_copy()
    users = np.arange(3, 60)
    firsts = [int(train.select(np.array([user])).items[0]) for user in users]
    items = np.array([[45, own, *_new(train, u), _new(train, u)[0]] for u, own in zip(users, firsts, strict=True)])
    found = Recommendations(items.astype(np.int32), np.tile(-np.arange(5, dtype=np.float32), (len(users), 1)))
    lists, counted = checked(found, data, rules, users, 5)
    assert len(data.non_candidates) >= 8
    assert (counted["excluded"], counted["duplicate"], counted["unknown"]) == (2 * len(users), len(users), 0)
    expected = items.copy()
    expected[:, [0, 1, 4]] = -1
    assert lists.items.tolist() == expected.tolist()


def _new(train, user):
    """Two items that are ranked, and not in the user's train part."""
    known = train.select(np.array([user])).items
    return [item for item in np.unique(train.items) if item not in known][:2]
