"""Rows of one model and preset: what their runs were given, and what tells one from another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.errors import plain
from bench.messages.cell import Cell, Result
from bench.messages.study import tuned_on
from bench.report.row import Row

_ALL = 2
"""So many settings stand in a name without looking for fewer."""


def settings_of(cell: Cell) -> dict[tuple[str, str], Any]:
    """What may tell two rows of one name apart, by kind and name: a config may have any key.

    Of a model that was tuned in each of several splits, its config does not: it is another one in each.
    """
    own, whole = cell.config, cell.unablated.config
    if cell.fold is not None and tuned_on(cell.preset) == "":
        own, whole = {}, {}
    return {
        ("", "model"): cell.model,
        ("", "preset"): cell.preset,
        ("", "ablation"): cell.ablation.name if cell.ablation else "",
        **{("config", key): value for key, value in own.items()},
        **{("unablated", key): value for key, value in whole.items() if own.get(key) != value},
        ("", "time_budget"): cell.time_budget,
        ("", "device"): cell.device,
        **{("stopping", key): value for key, value in cell.stopping.model_dump().items()},
    }


def told_apart(rows: list[list[Result]]) -> list[Row]:
    """Rows with a variant ``[key=value]`` where one name stands in the table with several settings.

    It holds as few of what differs as tell the row from its twins, and how many more there are. What twins have not at
    all, as those of an older version of the model, stands last.
    """
    made = []
    settings = [(plain(results[0].cell.name), settings_of(results[0].cell)) for results in rows]
    for results, (name, own) in zip(rows, settings, strict=True):
        twins = [other for called, other in settings if called == name and other is not own]
        same: dict[str, set[int]] = {}  # of each setting that differs, the twins that have it too
        for kind, key in sorted(own, key=lambda setting: sum(setting not in twin for twin in twins)):
            value = own[kind, key]
            if told := _told_from(value, [twin.get((kind, key)) for twin in twins]):
                text = plain(f"{key}={told}" if kind in ("", "config") else f"{kind} {key}={told}")
                same[text] = {number for number, twin in enumerate(twins) if twin.get((kind, key)) == value}
        chosen = _fewest(same, len(twins)) if len(same) > _ALL else list(same)
        more = len(same) - len(chosen)
        variant = ", ".join([*chosen, *([f"{more} more"] if more else [])])
        finished, failed = ([r for r in results if r.status == status] for status in ("finished", "failed"))
        made.append(Row(finished, failed, f" [{variant}]" if variant else "", ", ".join(same) if more else ""))
    return made


def _fewest(same: Mapping[str, set[int]], n: int) -> list[str]:
    """Settings of a row that tell it from its ``n`` twins: always the next that the most of those left have not."""
    chosen: set[str] = set()
    left = set(range(n))
    while left:
        best = min(same, key=lambda text: len(left & same[text]))
        if left <= same[best]:  # twins that lack what this row has not either
            break
        chosen.add(best)
        left &= same[best]
    return [text for text in same if text in chosen]


def _told_from(value: Any, others: list[Any]) -> str:
    """A value, of a number as few digits, at least three, as tell it from the others; empty if they all are equal."""
    different = [other for other in others if other != value]
    if not different:
        return ""
    numbers = [other for other in different if isinstance(other, int | float)]
    for digits in range(3, 18) if isinstance(value, float) else ():
        text = f"{value:.{digits}g}"
        if text not in {f"{other:.{digits}g}" for other in numbers}:
            return text
    return str(value)
