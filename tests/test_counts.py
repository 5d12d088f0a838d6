"""The published sizes of real data sets, exactly."""

import numpy as np
import pytest

from bench.data.catalog import card
from bench.data.groups import find_groups
from bench.data.prepare import prepare
from bench.data.protocol import PROTOCOLS, protocol
from bench.data.split import split

pytestmark = pytest.mark.raw


@pytest.mark.parametrize(
    ("name", "users", "items", "interactions"),
    [
        ("beauty", 22_363, 12_101, 198_502),
        ("sports", 35_598, 18_357, 296_337),
        ("colarec-phone", 27_879, 10_429, 194_439),
        ("recipe-slice", 252, 258, 10_020),
        ("ml-100k", 943, 1_682, 100_000),
    ],
)
def test_sizes(raw_dir, name, users, items, interactions):
    data = prepare(card(name), raw_dir, strict=True)
    assert (data.n_users, data.n_items, len(data.interactions)) == (users, items, interactions)
    assert data.facts["problems"] == data.facts["warnings"] == {}
    core = {"ml-100k": (20, 1)}.get(name, (5, 5))
    assert data.interactions.lengths.min() == core[0]
    assert np.bincount(data.interactions.items).min() == core[1]


def test_recipe_slice_was_larger_before_its_core(raw_dir):
    steps = dict(prepare(card("recipe-slice"), raw_dir).facts["steps"])
    assert steps["usable rows"] == 10_077
    assert steps["5-core"] == 10_020


@pytest.fixture
def phone(raw_dir):
    found = card("colarec-phone")
    return split(prepare(found, raw_dir), protocol(found.protocol))


def test_phone_has_the_authors_split_and_excludes_train_only(phone):
    parts = (phone.visible.train, phone.visible.valid, phone.hidden.test)
    assert [len(part) for part in parts] == [137_277, 28_581, 28_581]
    assert all(part.lengths.min() >= 1 for part in parts)
    assert PROTOCOLS["published"].exclude == PROTOCOLS["published"].history == "train"
    users = np.arange(phone.visible.n_users)
    assert len(phone.visible.inputs(PROTOCOLS["published"], users).exclude) == 137_277


def test_phone_is_mostly_long_tail(phone):
    lengths = phone.visible.train.lengths
    assert round(100 * (lengths == 3).mean(), 1) == 43.1
    for most, percent in ((5, 76), (6, 84)):
        assert abs(100 * (lengths <= most).mean() - percent) < 1
    groups = {g.name: g.members for g in find_groups(phone.visible.train, card("colarec-phone").long_tail)}
    assert round(100 * groups["long tail"].mean(), 1) == 64.4


def test_long_tail_of_movielens_is_its_least_active_fifth(raw_dir):
    found = card("ml-100k")
    train = split(prepare(found, raw_dir), protocol(found.protocol)).visible.train
    groups = {g.name: g.members for g in find_groups(train, found.long_tail)}
    assert groups["long tail"].sum() == 201
    assert groups["head"].sum() == 943 - 201
    assert train.lengths[groups["long tail"]].max() < train.lengths[groups["head"]].min()


@pytest.mark.parametrize("name", ["beauty", "recipe-slice"])
def test_recboles_rule_gives_valid_and_test_a_tenth_and_at_least_one(raw_dir, name):
    data = prepare(card(name), raw_dir)
    parts = split(data, protocol(card(name).protocol))
    tenth = np.maximum(data.interactions.lengths // 10, 1)
    np.testing.assert_array_equal(parts.visible.valid.lengths, tenth)
    np.testing.assert_array_equal(parts.hidden.test.lengths, tenth)


def test_beauty_ends_in_ties_for_43_percent_of_users(raw_dir):
    """So for leave-one-out the order of the raw file matters (reference, section 2)."""
    whole = prepare(card("beauty"), raw_dir).interactions
    last, before = whole.times[whole.indptr[1:] - 1], whole.times[whole.indptr[1:] - 2]
    assert round(100 * (last == before).mean()) == 43
