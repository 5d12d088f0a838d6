"""Named protocols and changes to them."""

import pytest

from bench.data.protocol import PROTOCOLS, protocol
from bench.errors import BenchError
from bench.files import content_hash


def test_named_protocols_are_those_of_their_papers():
    recbole, colarec = PROTOCOLS["random"], PROTOCOLS["colarec"]
    assert recbole.split.ratios == colarec.split.ratios == (8, 1, 1)
    assert (recbole.history, recbole.exclude) == ("train", "train+valid")
    assert (colarec.history, colarec.exclude) == ("train", "train")


def test_changed_protocol_is_told_apart_by_name_and_description():
    changed = protocol("random", split_seed=7, history="train+valid")
    assert changed.name == "random*"
    assert "(split seed 7), history train+valid" in changed.describe()
    assert changed.rules() != PROTOCOLS["random"].rules()


def test_change_to_what_it_is_already_is_none():
    assert protocol("random", split_seed=2024, history="train", exclude=None) == PROTOCOLS["random"]


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("random", "6803dcc728e9137a"), ("colarec", "0419676b07262f10"), ("loo", "5e580e46e9494fd1"),
        ("temporal", "7ade72b3bc9f6737"), ("kfold", "e3ff7f1f4ad23cc9"), ("strong", "5556fc9346f9c004"),
        ("published", "ec389c5043155a7d"),
    ],
)  # fmt: skip
def test_rules_of_a_named_protocol_are_those_that_stored_results_were_made_by(name, rules):
    """A hash that was taken when the first tables were made: another one would part new results from them."""
    assert content_hash(PROTOCOLS[name].rules())[:16] == rules


def test_what_is_fitted_on_is_told():
    changed = protocol("loo", fit="train+valid")
    assert changed.name == "loo*"
    assert "fitted on train and validation, history train+valid" in changed.describe()
    assert changed.at_validation() == PROTOCOLS["loo"].at_validation().model_copy(update={"name": "loo*"})


def test_nothing_is_excluded_on_demand():
    changed = protocol("loo", exclude="none")
    assert (changed.name, changed.exclude, changed.history) == ("loo*", "none", "train+valid")
    assert "excluding nothing" in changed.describe()


def test_unknown_protocol_suggests_the_nearest():
    with pytest.raises(BenchError, match="did you mean 'random'"):
        protocol("randon")


def test_wrong_value_is_refused():
    with pytest.raises(BenchError, match="history"):
        protocol("random", history="tests")


NUMBERS = [("loo:0", "k = 0"), ("kfold:2", "folds = 2"), ("kfold:128", "folds = 128"), ("random:0", "repeats = 0")]


@pytest.mark.parametrize(("name", "said"), NUMBERS)
def test_number_out_of_range_is_refused(name, said):
    with pytest.raises(BenchError, match=said):
        protocol(name)


@pytest.mark.parametrize("name", ["random:x", "loo:x", "kfold:", "kfold:-3", "temporal:1", "published:2"])
def test_number_where_none_belongs_is_refused(name):
    with pytest.raises(BenchError, match="take a number"):
        protocol(name)


@pytest.mark.parametrize("name", ["loo", "temporal", "published"])
def test_split_seed_is_refused_where_nothing_is_random(name):
    with pytest.raises(BenchError, match="no random choice that --split-seed could change"):
        protocol(name, split_seed=1)


@pytest.mark.parametrize("name", ["random", "colarec", "kfold:3", "strong", "random:3", "strong:2"])
def test_split_seed_is_another_protocol_where_something_is(name):
    assert protocol(name, split_seed=1).split.seed == 1
    assert protocol(name, split_seed=1).rules() != protocol(name).rules()


def test_number_of_folds_or_items_is_set():
    assert protocol("kfold:3").split.folds == 3
    assert protocol("kfold:3").folds == [0, 1, 2]
    assert protocol("loo:2").split.k == 2
    assert protocol("loo:2").folds == [None]


def test_a_number_of_random_splits_is_set():
    several = protocol("random:3")
    assert several.name == "random:3"
    assert several.folds == [0, 1, 2]
    assert several.split.of == PROTOCOLS["random"].split
    assert several.describe().startswith("3 times per-user random 8:1:1 (split seed 2024) and the seeds after it")
    assert protocol("random:1") == PROTOCOLS["random"]
    assert protocol("colarec:2").exclude == "train"
    assert protocol("strong:2").split.of == PROTOCOLS["strong"].split
