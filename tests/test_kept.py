"""Kept arrays: computed once, never those of something else, and their cost is told."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from bench.interactions import Recommendations
from bench.messages.spec import Stopping
from bench.testing import LocalContext, block_interactions
from bench.worker.kept import KeptArrays
from bench.worker.seconds import Seconds

DATA = block_interactions(n_users=40)


class Silent:
    """Recommends nothing."""

    def recommend(self, users, history, exclude, k):
        return Recommendations(np.full((len(users), k), -1, np.int32), np.zeros((len(users), k), np.float32))


@pytest.fixture
def keeping(tmp_path):
    """Contexts whose kept arrays lie in one folder."""

    def make(seed=1, **choices):
        work = Path(tempfile.mkdtemp(dir=tmp_path))
        return LocalContext(Silent(), DATA, work, seed, kept=tmp_path / "kept", **choices)

    return make


def never():
    raise AssertionError("it was computed again")


def test_kept_arrays_are_computed_once_and_their_seconds_count(keeping, clock):
    made = {"vectors": np.arange(6, dtype=np.float32).reshape(2, 3).T, "codes": np.array([[1], [2]], np.int8)}

    def compute():
        clock.now += 25
        return made

    first, second = keeping(), keeping()
    for context, function in ((first, compute), (second, never)):
        found = context.cached("vectors", {"width": 3, "start": np.ones(2)}, function)
        assert set(found) == set(made)
        for name, array in made.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    assert (first.reused, second.reused) == (Seconds(), Seconds(75, 25))


def test_seconds_of_kept_arrays_belong_to_the_time_budget(keeping, clock):

    def compute():
        clock.now += 25
        return {"a": np.ones(1)}

    trained = []
    for _ in range(2):
        context = keeping(time_budget=60.0)
        context.cached("a", {}, compute)
        trained.append(0)
        for _ in context.epochs(10):
            clock.now += 10
            trained[-1] += 1
    assert trained == [3, 3]


@pytest.mark.parametrize(
    "change",
    [{"inputs": {"width": 4}}, {"inputs": {"width": 3, "more": np.ones(2)}}, {"name": "others"},
     {"stopping": Stopping(patience=3)}, {"device": "meta"}],
    ids=str,
)  # fmt: skip
def test_arrays_of_other_inputs_are_others(keeping, change):
    keeping().cached("vectors", {"width": 3}, lambda: {"a": np.zeros(1)})
    name, inputs = change.pop("name", "vectors"), change.pop("inputs", {"width": 3})
    assert keeping(**change).cached(name, inputs, lambda: {"a": np.ones(1)})["a"] == 1
    assert keeping().cached("vectors", {"width": 3}, never)["a"] == 0


def test_what_a_time_budget_cut_short_is_not_kept(keeping, clock):
    context = keeping(time_budget=15.0)

    def compute():
        for _ in context.epochs(5):
            clock.now += 10
        return {"a": np.zeros(1)}

    context.cached("a", {}, compute)
    assert context.stopped_by_budget
    assert keeping().cached("a", {}, lambda: {"a": np.ones(1)})["a"] == 1


@pytest.mark.parametrize("damage", ["cut off", "changed", "no numbers", "missing"])
def test_damaged_entry_is_computed_again_with_a_line_in_the_log(keeping, tmp_path, damage):
    keeping().cached("a", {}, lambda: {"a": np.zeros(100)})
    [path] = tmp_path.glob("kept/*/a.npy")
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "no numbers":
        path.with_name("entry.json").write_text("[]")
    else:
        path.write_bytes(whole[:-9] if damage == "cut off" else whole[:-1] + b"\x01")
    context = keeping()
    assert context.cached("a", {}, lambda: {"a": np.ones(100)})["a"].sum() == 100
    assert "cannot be read" in context.messages[0]


def texts_alone(given):
    return {"lengths": np.array([len(text) for text in given.items["text"]]), "n": np.array(given.inputs["n"])}


def test_function_of_texts_gets_nothing_else(keeping):
    found = keeping().cached_from_texts("lengths", {"n": 7}, texts_alone)
    assert found["lengths"].tolist() == [len(text) for text in DATA.item_texts()["text"]]
    assert found["n"] == 7
    seen = DATA.train
    with pytest.raises(TypeError, match="a function of a module"):
        keeping().cached_from_texts("lengths", {}, lambda given: {"a": seen.items})


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "a b", "x" * 70])
def test_name_of_kept_arrays_is_a_plain_word(keeping, name):
    with pytest.raises(ValueError, match="no name for kept arrays"):
        keeping().cached(name, {}, never)


def test_arrays_of_an_attempt_that_was_killed_are_found_by_the_next_one(tmp_path):
    """They lie in the output of the worker until the parent takes them over."""
    KeptArrays(tmp_path / "core", tmp_path / "out").add("a-1", {"x": np.ones(2)}, Seconds(3, 2))
    assert KeptArrays(tmp_path / "core", tmp_path / "out").find("a-1").spent == Seconds(3, 2)
    assert KeptArrays(tmp_path / "core", tmp_path / "other").find("a-1") is None
