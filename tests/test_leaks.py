"""``bench doctor --leaks`` passes honest models and catches cheats, each by the check that is meant for it."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from bench.data.catalog import card
from bench.data.hidden import HiddenTest
from bench.data.prepare import prepare
from bench.data.protocol import PROTOCOLS
from bench.data.split import split
from bench.data.visible import VisibleSplit
from bench.interactions import save_interactions
from bench.runs import leaks
from bench.runs.leaks import _parts, check_leaks
from bench.testing import interactions_from

CHEATS = {"cheat-finds-test": "FindsTest", "cheat-learns-valid": "LearnsValid", "cheat-reads-ids": "ReadsIds"}
READERS = {"cheat-reads-user-texts": "ReadsUserTexts"}


def made(folder, **parts):
    """A split whose parts hold the given rows of items."""
    folders = {"visible": ("train", "valid"), "hidden": ("test",)}
    for name, held in folders.items():
        (folder / name).mkdir()
        for part in held:
            save_interactions(folder / name, part, interactions_from(parts[part], 10))
        facts = {"dataset": "made", "users": 2, "items": 10, "parts": ["train", "valid"], "candidates": "all"}
        facts |= {"fingerprint": "f", "content": "c", "texts_hash": "t"}
        (folder / name / "facts.json").write_text(json.dumps(facts))
    return SimpleNamespace(visible=VisibleSplit(folder / "visible"), hidden=HiddenTest(folder / "hidden"))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"train": [[1, 2, 3], [4]], "valid": [[4], [5]], "test": [[5, 3], [6]]}, "1 pairs in train and test"),
        ({"train": [[1, 2, 3], [4]], "valid": [[4], [5]], "test": [[5, 4], [6, 5]]}, "2 pairs in valid and test"),
        ({"train": [[1, 2, 3], [4]], "valid": [[4, 1], [5]], "test": [[5], [6]]}, "1 pairs in train and validation"),
    ],
)
def test_pair_in_two_parts_is_found(tmp_path, parts, said):
    passed, detail = _parts(made(tmp_path, **parts))
    assert (passed, detail) == (False, said)


def test_disjoint_parts_pass_and_one_item_of_two_users_is_no_pair(tmp_path):
    assert _parts(made(tmp_path, train=[[1, 2], [3]], valid=[[3], [4]], test=[[4], [1, 2]]))[0]


def test_test_part_in_the_folder_of_workers_is_found(tmp_path):
    found = made(tmp_path, train=[[1], [2]], valid=[[2], [3]], test=[[3], [4]])
    save_interactions(found.visible.path, "test", found.hidden.test)
    passed, detail = _parts(found)
    assert not passed
    assert "test" in detail


@pytest.mark.parametrize("name", ["random", "colarec", "loo", "temporal", "strong"])
def test_real_splits_pass(own_card, rows, name):
    assert _parts(split(prepare(own_card(rows)), PROTOCOLS[name]))[0]


def test_models_must_be_named(bench):
    done = bench("doctor", "--leaks")
    assert done.status == 1
    assert "--leaks needs --models" in done.err


@pytest.fixture
def cheats(tmp_path, monkeypatch):
    """The cheats, installed: their module and its metadata on the path of this process and of its workers."""
    site = tmp_path / "site"
    shutil.copytree(Path(__file__).parent / "cheats", site, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = site / "cheats-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: cheats\nVersion: 1.0\n")
    entries = "".join(f"{name} = cheats:{cls}\n" for name, cls in {**CHEATS, **READERS}.items())
    (metadata / "entry_points.txt").write_text(f"[bench.models]\n{entries}")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep))
    own = tmp_path / "temp"  # a cheat must not find the test arrays of checks that run beside this one
    own.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    monkeypatch.setenv("CHEAT_CACHE", f"{own}/bench-leaks-*")


@pytest.mark.slow
def test_every_cheat_is_caught_by_its_check_and_honest_models_pass(cheats):
    found = {}
    for finding in check_leaks([*CHEATS, "pop", "ease"], confine=False):
        found.setdefault(finding.model, {})[finding.check] = finding.passed
    fine = {"canary, test": True, "canary, validation": True, "relabelling": True}
    assert found == {
        "(harness)": {"parts": True},
        "pop": fine,
        "ease": fine,
        "cheat-finds-test": {**fine, "canary, test": False},
        "cheat-learns-valid": {**fine, "canary, validation": False},
        "cheat-reads-ids": {**fine, "relabelling": False},
    }


def test_cheat_is_a_bad_line_and_an_exit_status(cheats, bench):
    done = bench("doctor", "--leaks", "--models", "cheat-learns-valid", "--json")
    assert done.status == 1
    states = {line["what"]: line["state"] for line in json.loads(done.out)}
    assert states["cheat-learns-valid, canary, validation"] == "bad"
    assert states["(harness), parts"] == "ok"


@pytest.mark.slow
def test_user_texts_made_from_the_test_item_are_caught(cheats, monkeypatch):
    plain = leaks.write_card

    def telling(root, name, pairs):
        """The card of the canary, with texts of users that name their test item."""
        path = Path(plain(root, name, pairs))
        made = split(prepare(card(str(path))), PROTOCOLS["colarec"])
        users, items = made.visible.user_texts()["id"], made.visible.item_texts()["id"]
        test = made.hidden.test
        first = test.items[test.indptr[:-1]]  # each user has one
        lines = "".join(f"{user},likes {items[item]}\n" for user, item in zip(users, first, strict=True))
        (root / f"{name}-users.csv").write_text(f"id,about\n{lines}")
        found = yaml.safe_load(path.read_text())
        source = found[name]["sources"][0]
        source["files"]["users"] = {"name": str(root / f"{name}-users.csv")}
        source["options"]["users"] = {"id": "id", "about": "about"}
        found[name]["texts"]["user"] = {"parts": ["{about}"]}
        path.write_text(yaml.safe_dump(found))
        return str(path)

    def judged():
        found = check_leaks(["cheat-reads-user-texts"], confine=False)
        assert not [f.detail for f in found if "did not run" in f.detail]
        return {f.check: f.passed for f in found if f.model == "cheat-reads-user-texts"}

    assert judged() == {"canary, test": True, "canary, validation": True, "relabelling": True}
    monkeypatch.setattr(leaks, "write_card", telling)
    assert judged()["canary, test"] is False


def test_model_that_does_not_run_is_a_finding(rough_site, monkeypatch):
    monkeypatch.syspath_prepend(rough_site)
    monkeypatch.setenv("PYTHONPATH", str(rough_site))
    findings = check_leaks(["rough-raises"])
    own = [finding for finding in findings if finding.model == "rough-raises"]
    assert own
    assert not any(finding.passed for finding in own)
    assert all("did not run: RuntimeError" in finding.detail for finding in own)
