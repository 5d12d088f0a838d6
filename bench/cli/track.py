"""``bench track``."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import results_option, stored_dataset_option
from bench.errors import ResultsError


@click.command("track")
@click.argument("names")
@results_option
@stored_dataset_option
def command(names: str, results: Path, dataset: str | None) -> None:
    """Tell trackers of stored results, failed ones too; NAMES is a list such as csv,mlflow.

    'bench run --track NAMES' tells them while cells run. What a tracker knows already is not told twice.
    """
    from bench.api import words
    from bench.cli.progress import counted
    from bench.messages.events import Kept
    from bench.runs.hooks import LifeCycle
    from bench.runs.store import Store

    found = [one for one in Store(results).results() if dataset in (None, one.cell.dataset)]
    if not found:
        of = f" of {dataset}" if dataset else ""
        raise ResultsError(f"{results} has no results{of}: see 'bench results list', or give another --results")
    hooks = LifeCycle.of_trackers(words(names))
    hooks.tell("bench_run_started", cells=[], results=results)
    for result in found:
        hooks.tell("bench_event", cell=result.cell, event=Kept(result=result))
    hooks.tell("bench_run_finished", results=found)
    click.echo(f"{counted(len(found), 'result')} of {results} told to {', '.join(words(names))}")
