"""The cache: the same key for the same computation, and only for it; whatever befalls its files."""

from __future__ import annotations

import multiprocessing
import time

import numpy as np
import pytest
from bench_colarec import cache


class Stage:
    """A computation that counts its calls."""

    def __init__(self, folder, name="vectors"):
        self.folder, self.name = folder, name
        self.calls = 0
        self.lines = []

    def compute(self):
        self.calls += 1
        time.sleep(0.02)
        return {"items": np.arange(12, dtype=np.float32).reshape(4, 3), "users": np.zeros((0, 3), np.float32)}

    def __call__(self, value=1.0, **parameters):
        return cache.cached(
            self.name,
            self.compute,
            inputs={"train": np.full(5, value)},
            parameters={"seed": 1, **parameters},
            source=__file__,
            packages=["numpy"],
            log=self.lines.append,
            folder=self.folder,
        )


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path / "deep" / "folder")


def assert_right(found):
    np.testing.assert_array_equal(found.arrays["items"], np.arange(12).reshape(4, 3))
    assert found.arrays["items"].dtype == np.float32
    assert found.arrays["users"].shape == (0, 3)
    assert set(found.arrays) == {"items", "users"}


def test_the_second_time_it_comes_from_the_cache_with_its_cost(stage):
    first, second = stage(), stage()
    assert_right(first)
    assert_right(second)
    assert (first.hit, second.hit, stage.calls) == (False, True, 1)
    assert 0.02 <= second.seconds == first.seconds < 5
    assert stage.lines == []
    assert len(list(stage.folder.iterdir())) == 1


def test_what_the_result_depends_on_makes_another_entry(stage, tmp_path):
    stage()
    assert not stage(value=2.0).hit
    assert not stage(seed=2).hit
    assert not stage(width=64).hit
    assert not Stage(stage.folder, "codes")().hit
    assert len(list(stage.folder.iterdir())) == 5
    assert stage().hit


def test_a_key_tells_apart_what_differs_in_shape_type_name_source_or_version(tmp_path, monkeypatch):
    source = tmp_path / "module.py"
    source.write_text("a = 1")

    def key(array, name="x", packages=("numpy",), **parameters):
        return cache.key("stage", {name: np.asarray(array)}, parameters, str(source), packages)

    zeros = np.zeros((2, 3), np.float32)
    keys = [
        key(zeros),
        key(zeros.T),
        key(zeros.astype(np.int32)),
        key(zeros, name="y"),
        key(zeros, a=1),
        key(zeros, a=2),
        key(zeros, packages=()),
    ]
    assert key(np.zeros((6, 2), np.float32)[::2].T.copy().T[:, :1]) == key(np.zeros((3, 1), np.float32))
    monkeypatch.setattr(cache, "version", lambda name: "0.0")
    keys.append(key(zeros))
    source.write_text("a = 2")
    keys.append(key(zeros))
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "replaced"])
def test_a_damaged_entry_is_computed_again_and_mended(stage, damage):
    stage()
    [entry] = stage.folder.iterdir()
    whole = entry.read_bytes()
    middle = len(whole) // 2
    entry.write_bytes(
        {
            "empty": b"",
            "cut": whole[:middle],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "replaced": b"something else" * 10,
        }[damage]
    )
    assert_right(found := stage())
    assert (found.hit, stage.calls) == (False, 2)
    assert len(stage.lines) == 1
    assert "vectors are computed again" in stage.lines[0]
    assert str(entry) in stage.lines[0]
    assert stage().hit


def test_every_flipped_byte_is_found(stage):
    stage()
    [entry] = stage.folder.iterdir()
    whole = entry.read_bytes()
    for at in range(0, len(whole), 7):
        entry.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="is damaged"):
            cache._read(entry)


def test_a_folder_that_cannot_be_used_costs_a_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    stage = Stage(tmp_path / "file")
    for _ in range(2):
        assert_right(stage())
    assert stage.calls == 2
    assert all("vectors are" in line for line in stage.lines)
    assert len(stage.lines) >= 2


def test_a_full_disk_costs_a_line_and_leaves_nothing_behind(stage, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.Path, "replace", full)
    assert_right(stage())
    assert stage.lines == ["vectors are not cached: [Errno 28] No space left on device"]
    assert list(stage.folder.iterdir()) == []


def test_an_error_of_the_computation_is_not_swallowed(stage):
    def fails():
        raise OSError("not the cache's")

    stage.compute = fails
    with pytest.raises(OSError, match="not the cache's"):
        stage()
    assert stage.lines == []


def test_the_usual_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_folder() == tmp_path / "recsys-bench-colarec"
    Stage(None)()
    assert len(list((tmp_path / "recsys-bench-colarec").iterdir())) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.default_folder() == tmp_path / "home" / ".cache" / "recsys-bench-colarec"


def test_a_user_without_a_home_is_served(stage, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache.Path, "home", homeless)
    stage.folder = None
    assert_right(stage())
    assert all("there is no cache folder" in line for line in stage.lines)


def _fill(folder, start, results):
    stage = Stage(folder)
    start.wait()
    for _ in range(20):
        found = stage()
        results.put((found.arrays["items"].tolist(), stage.lines))
        for entry in folder.glob("vectors-*"):
            entry.unlink(missing_ok=True)  # so that the next round writes again


def test_several_processes_share_a_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.SimpleQueue()
    processes = [context.Process(target=_fill, args=(tmp_path, start, results)) for _ in range(4)]
    for process in processes:
        process.start()
    start.set()
    expected = (np.arange(12.0).reshape(4, 3).tolist(), [])
    assert [results.get() for _ in range(80)] == [expected] * 80
    for process in processes:
        process.join()
        assert process.exitcode == 0
