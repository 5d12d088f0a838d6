"""Named protocols and changes to them."""

import pytest

from bench.data.protocol import PROTOCOLS, protocol
from bench.errors import BenchError


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


def test_unknown_protocol_suggests_the_nearest():
    with pytest.raises(BenchError, match="did you mean 'random'"):
        protocol("randon")


def test_wrong_value_is_refused():
    with pytest.raises(BenchError, match="history"):
        protocol("random", history="tests")
