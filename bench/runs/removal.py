"""Remove a stored cell, unless a run works at it."""

from __future__ import annotations

from pathlib import Path

from bench.files import remove
from bench.runs.claims import Held, claim


def remove_cell(folder: Path, part: str = "") -> str:
    """Remove a cell's folder, or one part of it; why not, if a live run has it, else empty.

    The cell is claimed meanwhile, so that no run begins with it. Its result goes first: what a kill leaves is an
    unfinished cell.
    """
    if not folder.is_dir():
        return ""
    held = claim(folder)
    if isinstance(held, Held):
        return f"{folder.name}, {held.holder} works at it"
    try:
        if part:
            remove(folder / part)
            return ""
        remove(folder / "result.json")
        for path in folder.iterdir():
            if path != held.path:
                remove(path)
    finally:
        held.release()
    folder.rmdir()
    return ""
