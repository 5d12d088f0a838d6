"""What a results folder holds: every cell with its state and size, and which of them nobody needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.errors import plain
from bench.messages.cell import Result
from bench.report.table import current, tables
from bench.runs.store import Store

State = Literal["finished", "failed", "superseded", "damaged", "unfinished"]


@dataclass(frozen=True)
class Kept:
    """A cell's folder."""

    id: str
    state: State
    """``superseded``: a newer cell of the same row stands in the tables, of newer code of the model as a rule;
    ``damaged``: its result cannot be read; ``unfinished``: it has none, but perhaps checkpoints."""
    size: int
    """Bytes of all its files."""
    model_size: int
    """Of these, those of the trained model."""
    row: str
    """What the row is called in its table; empty if there is no result that can be read."""
    result: Result | None

    @property
    def what(self) -> str:
        """Data set, protocol and run in words."""
        if self.result is None:
            return ""
        cell = self.result.cell
        return plain(f"{cell.dataset} {cell.protocol.name} {cell.fingerprint[:8]}  {self.row}{cell.run}")


def kept(store: Store) -> list[Kept]:
    """All cells of the folder by age; those without a result that can be read first."""
    results = {result.cell_id: result for result in store.results()}
    counted = {result.cell_id for row in current(results.values()) for result in row}
    rows = {
        result.cell_id: row.name
        for table in tables(results.values())
        for row in table.rows
        for result in (*row.results, *row.failures)
    }
    found = []
    for folder in sorted(store.cells.iterdir()) if store.cells.is_dir() else []:
        if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith("."):
            result = results.get(folder.name)
            sizes = {path: path.lstat().st_size for path in folder.rglob("*") if path.is_file()}
            state: State
            if result is None:
                state = "damaged" if (folder / "result.json").exists() else "unfinished"
            else:
                state = result.status if folder.name in counted else "superseded"
            model = sum(size for path, size in sizes.items() if path.is_relative_to(folder / "model"))
            name = rows.get(folder.name) or (plain(result.cell.name) if result else "")
            found.append(Kept(folder.name, state, sum(sizes.values()), model, name, result))
    return sorted(found, key=lambda one: (one.result.created if one.result else "", one.id))


def named(cells: Sequence[Kept], name: str) -> list[Kept]:
    """The cell whose id begins so (six characters at least), or else all cells of the row or model of that name."""
    by_id = [one for one in cells if len(name) >= 6 and one.id.startswith(name)]
    by_row = [one for one in cells if name and one.row == name]
    by_model = [one for one in cells if one.result and one.result.cell.model == name]
    return by_id or by_row or by_model
