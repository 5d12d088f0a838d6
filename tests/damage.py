"""Damage to a results folder and to a cache, by name. Each function is given a cell's folder, or the cache."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from bench.messages.cell import Cell

Damage = Callable[[Path], object]


def content(name: str, data: bytes) -> Damage:
    """Other content of a file."""
    return lambda folder: [path.chmod(0o644) or path.write_bytes(data) for path in _found(folder, name)]


def _found(folder: Path, name: str) -> list[Path]:
    found = sorted(folder.glob(name))
    assert found, f"{folder} has no {name}"
    return found


def gone(name: str) -> Damage:
    return lambda folder: [_remove(path) for path in _found(folder, name)]


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def instead(name: str, make: Callable[[Path], Any]) -> Damage:
    """Something else in place of a file or folder."""

    def damage(folder: Path) -> None:
        for path in _found(folder, name):
            _remove(path)
            make(path)

    return damage


def a_folder(name: str) -> Damage:
    return instead(name, lambda path: path.mkdir())


def a_pipe(name: str) -> Damage:
    return instead(name, os.mkfifo)


def a_file(name: str) -> Damage:
    return instead(name, lambda path: path.write_text("a file"))


def a_loop(name: str) -> Damage:
    return instead(name, lambda path: path.symlink_to(path.name))


def cut(name: str, by: int = 2) -> Damage:
    """Only the first half of a file."""

    def damage(folder: Path) -> None:
        for path in _found(folder, name):
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // by])

    return damage


def sparse(name: str) -> Damage:
    return lambda folder: [path.chmod(0o644) or os.truncate(path, 2**36) for path in _found(folder, name)]


def fields(name: str, **changes: Any) -> Damage:
    """Other fields of a JSON file; ``a__b`` is a field within another, and ``...`` removes it."""

    def damage(folder: Path) -> None:
        for path in _found(folder, name):
            path.chmod(0o644)
            told = json.loads(path.read_text())
            _change(told, changes)
            path.write_text(json.dumps(told))

    return damage


def _change(told: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        *above, last = key.split("__")
        place = told
        for part in above:
            place = place[part]
        if value is ...:
            del place[last]
        else:
            place[last] = value


def result(**changes: Any) -> Damage:
    return fields("result.json", **changes)


def forged(**changes: Any) -> Damage:
    """A result of another cell, with an id and a folder that fit."""

    def damage(folder: Path) -> None:
        told = json.loads((folder / "result.json").read_text())
        _change(told["cell"], changes)
        told["cell_id"] = Cell.model_validate(told["cell"]).id
        (folder / "result.json").write_text(json.dumps(told))
        folder.rename(folder.with_name(told["cell_id"]))

    return damage


def parquet(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Damage:
    """A table with other content."""

    def damage(folder: Path) -> None:
        for path in _found(folder, name):
            path.chmod(0o644)
            change(pd.read_parquet(path)).to_parquet(path)

    return damage


DEEP = b"[" * 300 + b"]" * 300

RESULTS: dict[str, Damage] = {
    "empty": content("result.json", b""),
    "garbage": content("result.json", bytes(range(256))),
    "a list": content("result.json", b"[]"),
    "null": content("result.json", b"null"),
    "deep": content("result.json", DEEP),
    "cut off": cut("result.json"),
    "in UTF-16": lambda folder: _utf16(folder / "result.json"),
    "huge": sparse("result.json"),
    "a folder": a_folder("result.json"),
    "a pipe": a_pipe("result.json"),
    "a link to itself": a_loop("result.json"),
    "gone": gone("result.json"),
    "other schema": result(schema_version=1),
    "surprise": result(surprise=1),
    "no groups": result(groups={}),
    "no group of all": result(groups__all=...),
    "group without metrics": result(groups__all__metrics={}),
    "metrics of odd names": result(groups__all__metrics={"ndcg": 1.0, "@": 1.0, "x@y": 1.0, "ndcg@-1": 1.0}),
    "metrics are not numbers": result(groups__all__metrics={"ndcg@10": float("nan")}),
    "metrics are infinite": result(groups__all__metrics={"ndcg@10": float("inf")}),
    "metrics are text": result(groups__all__metrics={"ndcg@10": "high"}),
    "errors are not numbers": result(groups__all__errors={"ndcg@10": float("nan")}),
    "no errors": result(groups__all__errors={}),
    "fewer users than none": result(groups__all__n=-3),
    "groups are a list": result(groups=[]),
    "group of an odd name": result(
        groups__all=...,
        **{"groups__a|b\n\x1b[31m/../x": {"rule": "", "members": "", "n": 3, "metrics": {}, "errors": {}}},
    ),
    "odd status": result(status="done"),
    "failed with groups": result(status="failed"),
    "failed without reason": result(status="failed", reason=None, groups={}),
    "odd date": result(created="yesterday"),
    "date is a number": result(created=3),
    "no phases": result(phases={}),
    "phase without end": result(phases__fit__seconds=float("inf")),
    "phase of an odd name": result(phases={"\x1b[31m": {"seconds": 1, "peak_mib": 1}}),
    "odd backbone": result(facts={"backbone": ["a|b", {"c": "\x1b[31m\n"}]}),
    "violations are negative": result(violations={"x\n|": -1}),
    "odd validations": result(validations=[{"stage": "", "epoch": -1, "score": 1, "improved": True}]),
    "other version of metrics": result(metrics_version=99),
    "stopped by no budget": result(stopped_by_budget=True),
    "no plugin": result(plugin=...),
    "spec of another form": result(spec={"models": ["pop"], "dataset": "tiny", "surprise": 1}),
    "hardware is a list": result(hardware=[]),
    "another id": result(cell_id="0" * 16),
    "another id in the cell": result(cell__seed=99),
    "protocol of an odd name": forged(protocol__name="../../|x\n\x1b[31m"),
    "protocol of an odd split": result(cell__protocol__split={"rule": "magic"}),
    "data set outside": forged(dataset="../../x"),
    "fingerprint outside": forged(fingerprint="../../x"),
    "fingerprint empty": forged(fingerprint=""),
    "model of an odd name": forged(model="../a|b\n\x1b[31m"),
    "preset of an odd name": forged(preset="../a|b\n"),
    "ablation of an odd name": forged(ablation={"name": "../a|b\n", "unablated": {}}),
    "config of odd values": forged(config={"a|b\n": {"deep": [1, None]}, "\x1b[31m": "x" * 1000}),
    "fold that is none": forged(fold=7),
    "lists of no length": forged(list_length=0),
    "folder is a file": lambda folder: (shutil.rmtree(folder), folder.write_text("x")),
    "folder is a pipe": lambda folder: (shutil.rmtree(folder), os.mkfifo(folder)),
    "folder is a dead link": lambda folder: (shutil.rmtree(folder), folder.symlink_to("nowhere")),
    "folder is a link to itself": lambda folder: (shutil.rmtree(folder), folder.symlink_to(folder.name)),
    "folder of an odd name": lambda folder: folder.rename(folder.with_name("a|b\n\x1b[31m")),
    "claim is a folder": lambda folder: (folder / "claim.1").mkdir(),
    "claim is a pipe": lambda folder: os.mkfifo(folder / "claim.1"),
    "claim is garbage": lambda folder: (folder / "claim.7").write_bytes(b"\xff\xfe"),
    "claim of odd types": lambda folder: (folder / "claim.7").write_text(
        '{"host": [], "boot": 3, "pid": -1, "started": {}}'
    ),
    "claim of a huge number": lambda folder: (folder / f"claim.{'9' * 5000}"[:200]).write_text("{}"),
    "job is a file": lambda folder: (folder / "job").write_text("x"),
    "work is a pipe": lambda folder: os.mkfifo(folder / "work"),
    "draft is a folder": lambda folder: (folder / ".result.json.host.1.abc.draft").mkdir(),
    **{
        f"{name} {what}": damage
        for name in ("per_user", "lists")
        for what, damage in {
            "gone": gone(f"{name}.parquet"),
            "empty": content(f"{name}.parquet", b""),
            "garbage": content(f"{name}.parquet", b"PAR1" + bytes(range(256)) + b"PAR1"),
            "cut off": cut(f"{name}.parquet"),
            "a folder": a_folder(f"{name}.parquet"),
            "a pipe": a_pipe(f"{name}.parquet"),
            "without users": parquet(f"{name}.parquet", lambda frame: frame.drop(columns="user")),
            "of users that are text": parquet(f"{name}.parquet", lambda frame: frame.assign(user="u1")),
            "of one user": parquet(f"{name}.parquet", lambda frame: frame[:1]),
            "of nobody": parquet(f"{name}.parquet", lambda frame: frame[:0]),
            "of each user twice": parquet(f"{name}.parquet", lambda frame: pd.concat([frame, frame])),
            "of other columns": parquet(f"{name}.parquet", lambda frame: frame[["user"]].assign(other=1)),
        }.items()
    },
    "per_user of text": parquet("per_user.parquet", lambda frame: frame.assign(**{"all/ndcg@10": "high"})),
    "lists of text": parquet("lists.parquet", lambda frame: frame.assign(item="x")),
    "lists of single items": parquet("lists.parquet", lambda frame: frame.assign(item=3)),
    "lists of odd lengths": parquet(
        "lists.parquet", lambda frame: frame.assign(item=[[1] * (i % 3) for i in range(len(frame))])
    ),
    "lists of unknown items": parquet("lists.parquet", lambda frame: frame.assign(item=[[10**6] * 100] * len(frame))),
    "model is a file": lambda folder: (
        (shutil.rmtree(folder / "model", ignore_errors=True), (folder / "model").write_text("x"))
    ),
    "model is empty": lambda folder: [path.unlink() for path in (folder / "model").iterdir()],
    "model is garbage": content("model/*", b"garbage"),
}


CONTRADICTIONS = (
    "empty", "garbage", "a list", "null", "deep", "cut off", "in UTF-16", "huge", "a folder", "a pipe",
    "a link to itself", "other schema", "surprise", "no groups", "no group of all", "metrics of odd names",
    "metrics are not numbers", "metrics are infinite", "metrics are text", "errors are not numbers",
    "fewer users than none", "groups are a list", "odd status", "odd date", "date is a number", "phase without end",
    "violations are negative", "odd validations", "stopped by no budget", "no plugin", "spec of another form",
    "hardware is a list", "another id", "another id in the cell", "protocol of an odd split", "data set outside",
    "fingerprint outside", "fingerprint empty", "folder of an odd name",
)  # fmt: skip
"""Damage that makes a result none: it is left out with one line."""


def _utf16(path: Path) -> None:
    path.write_text(path.read_text(), encoding="utf-16")


_ARRAYS = (
    "datasets/*/all.items.npy",
    "splits/*/train.items.npy",
    "splits/*/valid.indptr.npy",
    "tests/*/test.items.npy",
)
_FACTS = ("datasets/*/facts.json", "splits/*/facts.json", "tests/*/facts.json")

CACHE: dict[str, Damage] = {
    **{
        f"{name} {what}": damage
        for name in _ARRAYS
        for what, damage in {
            "gone": gone(name),
            "empty": content(name, b""),
            "cut off": cut(name),
            "garbage": content(name, bytes(range(256)) * 9),
            "a folder": a_folder(name),
        }.items()
    },
    **{
        f"{name} {what}": damage
        for name in _FACTS
        for what, damage in {
            "gone": gone(name),
            "empty": content(name, b""),
            "garbage": content(name, bytes(range(256))),
            "a list": content(name, b"[]"),
            "null": content(name, b"null"),
            "without anything": content(name, b"{}"),
            "deep": content(name, DEEP),
            "a folder": a_folder(name),
            "of other types": fields(name, items="many", users=None),
            "of other counts": fields(name, items=3, users=2),
        }.items()
    },
    **{
        f"{name} {what}": damage
        for name in ("datasets/*/item_texts.parquet", "splits/*/user_texts.parquet")
        for what, damage in {
            "gone": gone(name),
            "garbage": content(name, b"PAR1garbagePAR1"),
            "of other columns": parquet(name, lambda frame: frame[[]].assign(other="x")),
            "of fewer rows": parquet(name, lambda frame: frame[:3]),
            "a folder": a_folder(name),
        }.items()
    },
    "facts without steps": fields("datasets/*/facts.json", steps=...),
    "facts with steps of text": fields("datasets/*/facts.json", steps="many"),
    "facts without source": fields("datasets/*/facts.json", source=...),
    "facts without hash": fields("datasets/*/facts.json", interactions_hash=...),
    "split without content": fields("splits/*/facts.json", content=...),
    "split without parts": fields("splits/*/facts.json", parts=...),
    "split of odd parts": fields("splits/*/facts.json", parts=["../../x"]),
    "split without fingerprint": fields("splits/*/facts.json", fingerprint=...),
    "secret gone": gone("secret/key"),
    "secret short": content("secret/key", b"short"),
    "secret is a folder": a_folder("secret/key"),
    "secret folder is a file": a_file("secret"),
    "descriptions empty": content("descriptions/*.json", b""),
    "descriptions garbage": content("descriptions/*.json", bytes(range(256))),
    "descriptions a list": content("descriptions/*.json", b"[]"),
    "descriptions without anything": content("descriptions/*.json", b"{}"),
    "descriptions deep": content("descriptions/*.json", DEEP),
    "descriptions of other types": fields("descriptions/*.json", config=[], presets=3),
    "descriptions with a stranger": fields("descriptions/*.json", error=3),
    "descriptions are folders": a_folder("descriptions/*.json"),
    "descriptions is a file": a_file("descriptions"),
    "datasets is a file": a_file("datasets"),
    "splits is a file": a_file("splits"),
    "tests is a file": a_file("tests"),
    "kept is a file": lambda folder: (
        ((folder / "kept").exists() and shutil.rmtree(folder / "kept"), (folder / "kept").write_text("x"))
    ),
    "data set is a file": a_file("datasets/*"),
    "split is a file": a_file("splits/*"),
    "test is a file": a_file("tests/*"),
    "cache is a file": lambda folder: (shutil.rmtree(folder), folder.write_text("x")),
}
