"""``bench score``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench.cli.options import json_option, results_option
from bench.cli.task import find_row, find_task, task_options


@click.command("score")
@click.argument("row")
@click.option("--conventions", is_flag=True, help="Beside ours: RecBole, WarpRec, Elliot, ranx and trec_eval.")
@click.option("--k", "ks", help="Cut-offs of the metrics.  [10]")
@task_options
@results_option
@json_option
@click.pass_context
def command(
    context: click.Context, /, row: str, conventions: bool, results: Path, as_json: bool, **_options: Any
) -> None:
    """Print what the stored lists of ROW, named as in a leaderboard, are worth, and by which conventions.

    Other tools answer differently what MAP is divided by, whom the means are over, and how ties are ordered: the same
    lists have other numbers there, which --conventions shows side by side.
    """
    from bench.report.conventions import scores
    from bench.runs.store import Store

    spec, task = find_task(context)
    store = Store(results)
    ks = spec.ks if "ks" in spec.model_fields_set else [10]
    found = scores(find_row(store, task, row), task, store, ks, conventions)
    if as_json:
        document = {one.tool: dict(values) for one, values in found.values.items()}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(found.text())
