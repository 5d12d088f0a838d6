"""Claims: of several runs one works at a cell, and a dead one's work is taken over once."""

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.messages.spec import RunSpec
from bench.runs import claims, execute
from bench.runs.claims import Claim, Held, claim, clear, is_claimed
from bench.runs.plan import make_plan
from bench.runs.store import Store


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cell"


def change(held, **facts):
    """Make a claim look as if another process had made it."""
    told = json.loads(held.path.read_text())
    held.path.write_text(json.dumps({**told, **facts}))


def test_claimed_cell_is_held_until_it_is_released(folder):
    first = claim(folder)
    assert isinstance(first, Claim)
    assert claim(folder) == Held(f"process {os.getpid()} of {json.loads(first.path.read_text())['host']}")
    assert is_claimed(folder)
    first.release()
    assert not is_claimed(folder)
    assert isinstance(claim(folder), Claim)


@pytest.mark.parametrize("gone", ["process", "boot", "another process has its number"])
def test_claim_of_a_dead_process_of_this_machine_is_taken_over(folder, gone):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    facts = {"process": {"pid": dead.pid}, "boot": {"boot": "another"}}.get(gone, {"started": "1"})
    first = claim(folder)
    change(first, **facts)
    second = claim(folder)
    assert isinstance(second, Claim)
    assert isinstance(claim(folder), Held)
    second.release()
    assert list(folder.iterdir()) == []


def test_claim_of_another_machine_lives_as_long_as_it_is_touched(folder):
    first = claim(folder)
    change(first, host="another", pid=1, boot="b")
    assert isinstance(claim(folder), Held)
    os.utime(first.path, (0, first.path.stat().st_mtime - claims.STALE - 1))
    assert isinstance(claim(folder), Claim)


def test_half_written_claim_is_waited_for_and_then_taken_over(folder):
    first = claim(folder)
    first.path.write_text('{"host": "x"')
    assert isinstance(claim(folder), Held)
    os.utime(first.path, (0, first.path.stat().st_mtime - 10))
    assert isinstance(claim(folder), Claim)


@pytest.mark.parametrize("after_a_dead_one", [False, True])
def test_of_many_at_once_one_gets_it(folder, after_a_dead_one):
    for _ in range(30):
        if after_a_dead_one:
            change(claim(folder), boot="another")
        together = threading.Barrier(8)

        def attempt(_, together=together):
            together.wait(30)
            return claim(folder)

        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(attempt, range(8)))
        [mine] = [one for one in got if isinstance(one, Claim)]
        mine.release()


def test_clear_leaves_what_is_held(folder):
    held = claim(folder)
    clear(folder)
    assert is_claimed(folder)
    change(held, boot="another")
    clear(folder)
    assert list(folder.iterdir()) == []


def test_clear_removes_no_claim_that_took_the_place_of_the_one_it_looked_at(folder, monkeypatch):
    """Another run clears the same dead claim, and begins with claim.1 again, between a look and a removal."""
    dead, remove, live = claim(folder), claims.remove, []
    change(dead, boot="another")

    def remove_late(path):
        if not live:
            live.append(None)
            clear(folder)
            live[0] = claim(folder)
        remove(path)

    with monkeypatch.context() as patched:
        patched.setattr(claims, "remove", remove_late)
        clear(folder)
    assert isinstance(live[0], Held)
    assert not is_claimed(folder)
    for _ in range(30):
        change(claim(folder), boot="another")
        together = threading.Barrier(8)

        def attempt(_, together=together):
            together.wait(30)
            clear(folder)
            return claim(folder)

        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(attempt, range(8)))
        mine = [one for one in got if isinstance(one, Claim)]
        assert len(mine) <= 1
        for one in mine:
            one.release()


def test_heartbeats_touch_the_claim(folder, monkeypatch):
    monkeypatch.setattr(claims, "HEARTBEAT", 0.01)
    held = claim(folder)
    os.utime(held.path, (0, 0))
    with claims.Heart() as heart:
        heart.claims.add(held)
        end = threading.Event()
        for _ in range(500):
            if held.path.stat().st_mtime > 0:
                break
            end.wait(0.01)
    assert held.path.stat().st_mtime > 0


def test_claim_that_an_interrupted_call_left_in_this_process_is_nobodys(folder):
    """As when Ctrl-C in a notebook ends a run between its claim and its first step."""
    left = claim(folder)
    claims._mine.discard(left.path.absolute())
    assert isinstance(claim(folder), Claim)


def test_who_sees_another_claim_after_its_own_gives_way(folder, monkeypatch):
    """One run found claim.4, which was released; meanwhile another one began with claim.1."""
    first = claim(folder)
    monkeypatch.setattr(claims, "max", lambda *_, **__: folder / "claim.4", raising=False)
    monkeypatch.setattr(claims, "_holder", lambda path: "" if path.name == "claim.4" else "another run")
    assert claim(folder) == Held("another run")
    assert [path.name for path in folder.iterdir()] == [first.path.name]


def test_claim_is_lost_when_another_run_has_taken_the_cell_over(folder):
    """As from a machine that was away for a while: its claim was stale, and it goes on as if nothing had been."""
    first = claim(folder)
    assert not first.lost
    change(first, host="another", pid=1, boot="b")
    os.utime(first.path, (0, first.path.stat().st_mtime - claims.STALE - 1))
    second = claim(folder)
    assert first.lost
    assert not second.lost
    (folder / "result.json").write_text("{}")
    second.release()
    assert first.lost


def test_model_that_removes_the_folder_of_its_cell_has_lost_no_claim(folder):
    """Or it would be tried for ever."""
    held = claim(folder)
    shutil.rmtree(folder)
    assert not held.lost


def test_run_that_was_away_takes_the_result_of_the_one_that_took_over(tiny_cards, tmp_path, monkeypatch, caplog):
    """While it trained, another machine claimed the cell, finished it, and was done a while later."""
    plan = make_plan(RunSpec(models=["pop"], dataset="tiny"))
    [cell], store = plan.cells, Store(tmp_path / "results")
    [theirs] = execute.run_cells(plan, Store(tmp_path / "elsewhere"), lambda cell, event: None)
    theirs = theirs.model_copy(update={"created": "2025-01-01T00:00:00+00:00"})
    run = execute.Job.run

    def overtaken(job, *arguments):
        found = run(job, *arguments)
        path = store.path(cell.id) / "claim.7"
        path.write_text(json.dumps({"host": "another", "boot": "b", "pid": 1, "started": "1"}))
        for name in ("lists.parquet", "per_user.parquet"):
            shutil.copy(tmp_path / "elsewhere" / "cells" / cell.id / name, path.parent)

        def end():
            store.write(theirs)
            path.unlink()

        threading.Timer(1.0, end).start()
        return found

    monkeypatch.setattr(execute.Job, "run", overtaken)
    assert execute.run_cells(plan, store, lambda cell, event: None) == [theirs]
    assert store.results() == [theirs]
    assert "pop was taken over by another run" in caplog.text
