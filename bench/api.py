"""The verbs for Python: the same as in the shell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from pydantic import ValidationError

from bench.errors import ConfigError
from bench.messages.spec import RunSpec, Stopping
from bench.report.table import tables
from bench.runs.execute import run_cells
from bench.runs.plan import make_plan
from bench.runs.store import Store

if TYPE_CHECKING:
    import pandas as pd

Words = str | Sequence[str]
"""``"a,b"`` or ``["a", "b"]``."""
Numbers = int | str | Sequence[int]
"""``3``, ``"1,2,5-7"`` or ``[1, 2, 5, 6, 7]``."""

MOST_NUMBERS = 1000
"""In one text: a range is a slip if it has more."""


class RunOptions(TypedDict, total=False):
    """The fields of :class:`bench.messages.spec.RunSpec` beside models and dataset, which documents them."""

    options: Mapping[str, Mapping[str, Any]]
    protocol: str | None
    split_seed: int | None
    history: Literal["train", "train+valid"] | None
    exclude: Literal["none", "train", "train+valid"] | None
    candidates: Literal["all", "train"] | None
    fit: Literal["train", "train+valid"] | None
    groups: Words
    strict: bool
    seeds: Numbers
    ks: Numbers
    raw_dir: Path | str | None
    jobs: int
    threads: int | None
    processes: int
    energy: bool
    device: str
    timeout: float | None
    time_budget: float | None
    memory_limit: float | None
    save_models: bool | None
    stopping: Stopping | Mapping[str, Any]
    ablate: bool | Words
    confine: bool
    executor: str
    address: str | None
    plan: str


def run(
    models: Words,
    dataset: str,
    *,
    results: Path | str = "results",
    track: Words = (),
    **options: Unpack[RunOptions],
) -> pd.DataFrame:
    """Run models on a data set and return the leaderboard, one row per model.

    Parameters
    ----------
    models
        Names as in ``bench models list``, each perhaps with a preset: ``"ease,bpr"`` or ``["ease", "MODEL@PRESET"]``.
    dataset
        A name of ``bench datasets list``, or the path of a card.
    results
        The results folder. Cells that it holds already are not run again.
    track
        Trackers that are told of all cells, such as ``"csv,mlflow"``.
    options
        The fields of :class:`bench.RunSpec`. Strings mean what they mean in the shell.

    Returns
    -------
    pandas.DataFrame
        One row per model of the table, columns ``model``, ``preset``, ``ablation``, ``backbone``, ``seeds``,
        ``status``, ``reason``, costs with ``parameters`` and ``epoch_seconds``, ``validation/METRIC@K`` of the stopping
        metric, and ``GROUP/METRIC@K``. Paired differences to the whole model: :mod:`bench.report.ablations`.

    Raises
    ------
    BenchError
        For anything that the caller can fix, by kind. A failing model is a row with ``status`` "failed", not an error.
    """
    return run_spec(make_spec(models=models, dataset=dataset, **options), results, track)


def run_spec(spec: RunSpec, results: Path | str = "results", track: Words = ()) -> pd.DataFrame:
    """:func:`run` of a spec."""
    done = run_cells(make_plan(spec, Path(results)), Store(Path(results)), lambda cell, event: None, words(track))
    [table] = tables(done)
    return table.frame()


def make_spec(**fields: Any) -> RunSpec:
    """A spec of fields that may be written as in the shell: ``models="pop,ease"``, ``seeds="1-3"``, ``ablate=True``.

    Raises
    ------
    ConfigError
        With the first thing that is wrong, in one line.
    """
    for name in ("models", "groups", "ablate"):
        if name in fields:
            fields[name] = words(given := fields[name])
            if name == "ablate" and given and not fields[name]:
                raise ConfigError("no ablation was named: give names, or --ablate alone for all of them")
    for name in ("seeds", "ks"):
        if name in fields:
            fields[name] = numbers({"ks": "--k"}.get(name, f"--{name}"), fields[name])
    try:
        return RunSpec.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if where == "models" and not fields.get("models"):
            raise ConfigError("no model was named: see 'bench models list'") from error
        what = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where} = {first['input']!r}: {what}: see 'bench run --help'") from error


def words(value: bool | Words | None) -> list[str]:
    """``"a,b"`` as a list; True is ``all``."""
    if value is None or isinstance(value, bool):
        return ["all"] if value else []
    parts = value.split(",") if isinstance(value, str) else value
    return [part.strip() for part in parts if part.strip()]


def numbers(name: str, value: Numbers) -> list[int]:
    """``"1,2,5-7"`` as a list.

    Raises
    ------
    ConfigError
        If it is something else.
    """
    if isinstance(value, int):
        return [value]
    if not isinstance(value, str):
        return list(value)
    found: list[int] = []
    try:
        for part in value.split(","):
            low, dash, high = part.strip().partition("-")
            span = range(int(low), int(high if dash else low) + 1)
            if not span:
                raise ValueError
            if len(span) > MOST_NUMBERS - len(found):
                raise ConfigError(f"{name} takes at most {MOST_NUMBERS:,} numbers, not '{value}'")
            found += span
    except ValueError:
        raise ConfigError(f"{name} takes whole numbers such as 1,2,5-7, not '{value}'") from None
    return found
