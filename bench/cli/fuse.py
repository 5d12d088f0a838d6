"""``bench fuse``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import results_option
from bench.cli.task import find_row, find_task, measure_options, show_table, task_options
from bench.errors import ConfigError


@click.command("fuse")
@click.argument("rows", nargs=-1, required=True, metavar="ROW ROW…")
@click.option("--name", required=True, help="What the fused row is called.")
@click.option(
    "--rule",
    type=click.Choice(["rrf", "borda"]),
    default="rrf",
    show_default=True,
    help="Reciprocal rank fusion, or Borda's points: linear in the rank.",
)
@click.option("--weights", metavar="W,W…", help="A positive number for each row.  [equal]")
@click.option("--constant", type=float, help="Of rrf: 1 / (constant + rank).  [60]")
@task_options
@results_option
@measure_options
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.pass_context
def command(
    context: click.Context,
    /,
    rows: tuple[str, ...],
    name: str,
    rule: str,
    weights: str | None,
    constant: float | None,
    results: Path,
    as_json: bool,
    **_options: Any,
) -> None:
    """Make a row of the stored lists of others, by their ranks alone.

    ROW is what a leaderboard calls it. Of rows that depend on seeds, the seeds that all have are fused one by one.
    Weights are yours to choose before you look at test: nothing here does it.
    """
    from bench.runs.fuse import fuse_rows
    from bench.runs.store import Store

    spec, task = find_task(context)
    store = Store(results)
    members = {(row := find_row(store, task, one)).name: row.results for one in rows}
    if len(members) < len(rows):
        raise ConfigError("a row is named twice: give each once, and --weights for how much it counts")
    fuse_rows(members, name, task, spec.ks, store, rule, _numbers(weights), constant)
    show_table(store, task, as_json)


def _numbers(text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--weights takes numbers such as 1,0.5, not '{text}'") from None
