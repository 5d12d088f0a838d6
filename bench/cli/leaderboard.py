"""``bench leaderboard``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import files, many_results_option
from bench.errors import ConfigError, ResultsError

if TYPE_CHECKING:
    from bench.report.table import Table
    from bench.runs.store import Store


@click.command("leaderboard")
@click.option("--dataset", help="Only tables of this data set.")
@many_results_option
@click.option("--across", is_flag=True, help="Instead: the mean rank over data sets of the rows that all tables share.")
@click.option("--models", help="With --across: these rows, such as pop,ease, over the tables that have all of them.")
@click.option("--json", "as_json", is_flag=True, help="Print the tables as one JSON list.")
def command(dataset: str | None, results: tuple[Path, ...], across: bool, models: str | None, as_json: bool) -> None:
    """Print the tables of all results and write them as md, csv and json.

    One table for each data set and protocol; rows with different splits or rules never share one. With --across, print
    how the same rows stand on several data sets, by rank: there is no mean of metrics of different data.
    """
    from bench.report import ablations
    from bench.report.leaderboard import terminal, write
    from bench.report.table import tables
    from bench.report.verdict import verdict
    from bench.runs.store import Store

    if models and not across:
        raise ConfigError("--models chooses the rows of --across: give both")
    store = Store(*results)
    found = tables(result for result in store.results() if dataset in (None, result.cell.dataset))
    if not found:
        what = f"results of '{dataset}'" if dataset else "results"
        raise ResultsError(f"no {what} in {store.cells}: make some with 'bench run', or give another --results")
    if across:
        _across(found, store, models, as_json)
        return
    verdicts = [verdict(table, store) for table in found]
    written = [(table, write(table, store.leaderboards, judged)) for table, judged in zip(found, verdicts, strict=True)]
    parts = {table.name: ablations.ablations(table, store) for table in found}
    part_paths = {name: [ablations.write(one, store.leaderboards) for one in those] for name, those in parts.items()}
    if as_json:
        documents = [json.loads(paths[2].read_text(encoding="utf-8")) for _, paths in written]
        for document, (table, _) in zip(documents, written, strict=True):
            if those := parts[table.name]:
                document["ablations"] = [part.document() for part in those]
        click.echo(json.dumps(documents, indent=2, ensure_ascii=False))
        return
    for (table, paths), judged in zip(written, verdicts, strict=True):
        click.echo(f"{terminal(table, store.root, judged)}\n")
        for part in parts[table.name]:
            click.echo(f"{part.text()}\n")
        for some in [paths, *part_paths[table.name]]:
            click.echo(f"written: {files(some)}")
        click.echo()


def _across(tables: list[Table], store: Store, models: str | None, as_json: bool) -> None:
    from bench.api import words
    from bench.report.across import across

    found = across(tables, store, words(models))
    click.echo(json.dumps(found.document(), indent=2, ensure_ascii=False) if as_json else found.text())
