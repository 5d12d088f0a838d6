"""``bench leaderboard``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bench.cli.options import files, many_results_option
from bench.errors import ResultsError


@click.command("leaderboard")
@click.option("--dataset", help="Only tables of this data set.")
@many_results_option
@click.option("--json", "as_json", is_flag=True, help="Print the tables as one JSON list.")
def command(dataset: str | None, results: tuple[Path, ...], as_json: bool) -> None:
    """Print the tables of all results and write them as md, csv and json.

    One table for each data set and protocol; rows with different splits or rules never share one.
    """
    from bench.report import ablations
    from bench.report.leaderboard import terminal, write
    from bench.report.table import tables
    from bench.report.verdict import verdict
    from bench.runs.store import Store

    store = Store(*results)
    found = tables(result for result in store.results() if dataset in (None, result.cell.dataset))
    if not found:
        what = f"results of '{dataset}'" if dataset else "results"
        raise ResultsError(f"no {what} in {store.cells}: make some with 'bench run', or give another --results")
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
