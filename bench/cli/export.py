"""``bench export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import results_option
from bench.cli.task import find_row, find_task, task_options

if TYPE_CHECKING:
    from bench.runs.export import Format

_output = click.option(
    "--output", type=click.Path(path_type=Path), default=Path("export"), show_default=True, help="A folder."
)


@click.group("export", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Write lists and splits for other tools, with original ids."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@command.command("lists")
@click.argument("row")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "lenskit", "recbole", "trec"]),
    default="csv",
    show_default=True,
    help="CSV, Parquet for LensKit, an atomic file for RecBole, or a TREC run.",
)
@_output
@task_options
@results_option
@click.pass_context
def export_lists(context: click.Context, /, row: str, form: Format, output: Path, results: Path, **_opt: Any) -> None:
    """Write the lists of ROW, named as in a leaderboard, a file for each of its runs."""
    from bench.report.names import slug
    from bench.runs.export import ENDINGS, export_lists, refuse_existing
    from bench.runs.store import Store

    _, task = find_task(context)
    store = Store(results)
    found = find_row(store, task, row).results
    names = [slug(f"{task.card.name} {result.cell.label}".replace(" ", "-")) for result in found]
    paths = [output / f"{name}.{ENDINGS[form]}" for name in names]
    for path in paths:
        refuse_existing(path)
    for result, path in zip(found, paths, strict=True):
        lost = export_lists(result, task, store, path, form)
        click.echo(f"written: {path}")
        if lost:
            click.echo(f"  {lost:,} slots that broke the contract are left out: items behind them moved up", err=True)


@command.command("split")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "lenskit", "recbole"]),
    default="csv",
    show_default=True,
    help="CSV, Parquet for LensKit, or atomic files for RecBole.",
)
@click.option("--with-test", is_flag=True, help="Write the test part too.  [train and validation alone]")
@_output
@task_options
@click.pass_context
def export_split(context: click.Context, /, form: Format, with_test: bool, output: Path, **_opt: Any) -> None:
    """Write the split of a protocol, a folder for each fold; nothing of the test part without --with-test."""
    from bench.runs.export import export_split, refuse_existing

    _, task = find_task(context)
    stem = f"{task.card.name}-{task.fingerprint[:8]}"  # never the plain name: RecBole has a data set ml-100k of its own
    folders = {fold: output / (stem if fold is None else f"{stem}-fold-{fold}") for fold in task.folds}
    for folder in folders.values():
        refuse_existing(folder)
    for fold, folder in folders.items():
        counts = export_split(task, fold, folder, form, with_test)
        click.echo(f"{folder}: " + ", ".join(f"{name} {number:,}" for name, number in counts.items()))
    if with_test:
        click.echo("the test part is among them: keep it from whatever trains or tunes", err=True)
