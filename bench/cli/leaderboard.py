"""``bench leaderboard``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import files, many_results_option, stored_dataset_option
from bench.errors import ConfigError, ResultsError

if TYPE_CHECKING:
    from bench.runs.store import Store


@click.command("leaderboard")
@stored_dataset_option
@many_results_option
@click.option("--across", is_flag=True, help="Instead: the mean rank over data sets of the rows that all tables share.")
@click.option("--models", help="With --across: these rows, such as pop,ease, over the tables that have all of them.")
@click.option("--json", "as_json", is_flag=True, help="Print the tables as one JSON list.")
@click.option(
    "--latex", "as_latex", is_flag=True, help="With --across: print LaTeX (booktabs). Of one table: bench report."
)
def command(
    dataset: str | None,
    results: tuple[Path, ...],
    across: bool,
    models: str | None,
    as_json: bool,
    as_latex: bool,
) -> None:
    """Print the tables of all results and write them as md, csv and json.

    One table for each data set and protocol; rows with different splits or rules never share one. With --across, print
    how the same rows stand on several data sets, by rank: there is no mean of metrics of different data.
    """
    from bench.report.ready import written
    from bench.runs.store import Store

    if models and not across:
        raise ConfigError("--models chooses the rows of --across: give both")
    if as_latex and (as_json or not across):
        raise ConfigError("--latex is for --across, without --json; 'bench report --latex' has the other tables")
    store = Store(*results)
    if across:
        _across(dataset, store, models, as_json, as_latex)
        return
    found = list(written(store, dataset))
    if not found:
        raise _nothing(dataset, store)
    if as_json:
        click.echo(json.dumps([table.document() for table in found], indent=2, ensure_ascii=False))
        return
    for table in found:
        for text in table.texts:
            click.echo(f"{text}\n")
        for some in table.files:
            click.echo(f"written: {files(some)}")
        if not table.files:
            click.echo(f"not written: {store.leaderboards} takes no files", err=True)
        click.echo()


def _nothing(dataset: str | None, store: Store) -> ResultsError:
    what = f"results of '{dataset}'" if dataset else "results"
    return ResultsError(f"no {what} in {store.cells}: make some with 'bench run', or give another --results")


def _across(dataset: str | None, store: Store, models: str | None, as_json: bool, as_latex: bool) -> None:
    from bench.api import words
    from bench.report.across import across
    from bench.report.latex import latex_across
    from bench.report.table import tables

    tabled = tables(store.results(dataset))
    if not tabled:
        raise _nothing(dataset, store)
    found = across(tabled, store, words(models))
    if as_latex:
        click.echo(latex_across(found).rstrip())
    else:
        click.echo(json.dumps(found.document(), indent=2, ensure_ascii=False) if as_json else found.text())
