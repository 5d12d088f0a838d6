"""The files of tables follow the results: what is left of a table is written anew, what is gone is removed."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from bench.messages.cell import Result
from bench.report import ablations, leaderboard
from bench.report.table import Table, tables
from bench.report.verdict import verdict
from bench.runs.store import Store


def write_files(table: Table, store: Store) -> list[Path]:
    """Write a table and its ablations; returns the paths."""
    paths = leaderboard.write(table, store.leaderboards, verdict(table, store))
    for found in ablations.ablations(table, store):
        paths += ablations.write(found, store.leaderboards)
    return paths


def rewrite(store: Store, before: Iterable[Result]) -> None:
    """Bring the files of all tables of ``before`` that have files to what the store holds now."""
    now = {table.name: table for table in tables(store.results())}
    for name in {table.name for table in tables(before)}:
        stem = store.leaderboards / glob.escape(name)
        old = set(store.leaderboards.glob(f"{stem.name}.*")) | set(
            store.leaderboards.glob(f"{stem.name}-ablations-*.*")
        )
        table = now.get(name)
        new = write_files(table, store) if old and table else []
        for path in old - set(new):
            path.unlink(missing_ok=True)
