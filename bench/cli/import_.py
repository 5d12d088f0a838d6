"""``bench import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import results_option
from bench.cli.task import find_task, measure_options, show_table, task_options

if TYPE_CHECKING:
    from bench.messages.cell import Result


@click.group("import", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Measure what was made elsewhere."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@command.command("lists")
@click.argument("paths", nargs=-1, required=True, metavar="FILE…", type=click.Path(exists=True, path_type=Path))
@click.option("--name", required=True, help="What the row is called.")
@task_options
@results_option
@measure_options
@click.option("--user-column", help="Name of the column of a table; guessed if it has a usual name.")
@click.option("--item-column", help="Name of the column; guessed if it has a usual name.")
@click.option("--score-column", help="Name of the column; guessed if it has a usual name.")
@click.option("--deterministic", is_flag=True, help="The lists do not depend on a seed.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.pass_context
def import_lists(
    context: click.Context,
    /,
    paths: tuple[Path, ...],
    name: str,
    results: Path,
    user_column: str | None,
    item_column: str | None,
    score_column: str | None,
    deterministic: bool,
    as_json: bool,
    **_options: Any,
) -> None:
    """Make a row of lists that another tool has written, and measure it as every model.

    FILE is a table of user, item and score (CSV, JSON lines, Parquet) or a TREC run, with the original ids; several are
    those of seeds 1, 2, … A list is what the scores order, ties as in the file. Who and what the data set does not have
    is counted. A file that has changed makes the row anew.
    """
    from bench.evaluation.intervals import ASSUMED_SPREAD
    from bench.runs.lists import import_lists
    from bench.runs.store import Store

    spec, task = find_task(context)
    store = Store(results)
    given = {"user": user_column, "item": item_column, "score": score_column}
    columns = {meaning: column for meaning, column in given.items() if column is not None}
    before = store.results()
    made = import_lists(paths, name, task, spec.ks, store, columns, deterministic)
    for path, result in zip(paths, made, strict=True):
        _tell(path, result)
    if not deterministic and len({result.cell.seed for result in made}) == 1:
        click.echo(
            f"one seed: comparisons assume that others spread by {ASSUMED_SPREAD:.0%} of the mean; give their files "
            "too, or --deterministic if the lists depend on no seed",
            err=True,
        )
    _tell_replaced(before, made[0])
    show_table(store, task, as_json)


def _tell(path: Path, result: Result) -> None:
    """The manifest of one file."""
    click.echo(f"{path}: {result.facts['read']}", err=True)
    for what, said in result.facts["manifest"].items():
        click.echo(f"  {what:38} {f'{said:,}' if isinstance(said, int) else said}", err=True)


def _tell_replaced(before: list[Result], new: Result) -> None:
    cell = new.cell
    same = [r for r in before if (r.cell.name, r.cell.fingerprint) == (cell.name, cell.fingerprint)]
    if same and same[-1].cell.code != cell.code:
        click.echo(
            f"{cell.name} is made anew: its lists of {same[-1].created[:10]} are superseded ('bench results prune')",
            err=True,
        )
