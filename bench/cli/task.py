"""What the commands around lists share: the task of their options, its rows, and its table."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import files, protocol_options, raw_dir_option
from bench.cli.run import given
from bench.errors import ResultsError

if TYPE_CHECKING:
    from bench.messages.spec import RunSpec
    from bench.report.row import Row
    from bench.report.table import Table
    from bench.runs.store import Store
    from bench.runs.task import Task

_FIELDS = ("dataset", "protocol", "split_seed", "history", "exclude", "candidates", "fit", "raw_dir", "groups", "ks")


def measure_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is measured."""
    groups = click.option("--groups", help="More groups: quartiles,deciles,popularity,cold,memory,FILE.csv.")
    return click.option("--k", "ks", help="Cut-offs of the metrics.  [5,10,20]")(groups(command))


def task_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose the data and the protocol."""
    command = raw_dir_option(protocol_options(command))
    return click.option("--dataset", required=True, help="A name of 'bench datasets list', or the path of a card.")(
        command
    )


def find_task(context: click.Context) -> tuple[RunSpec, Task]:
    """The spec of the options, which names no model, and its task, the data prepared."""
    from bench.api import make_spec
    from bench.runs.task import make_task

    spec = make_spec(models=["none"], **{key: value for key, value in given(context).items() if key in _FIELDS})
    return spec, make_task(spec)


def find_table(store: Store, task: Task) -> Table:
    """The table of the task."""
    from bench.report.table import tables

    found = tables(store.results(task.card.name, {task.fingerprint}))
    if not found:
        raise ResultsError(
            f"no results of '{task.card.name}' under protocol '{task.protocol.name}' in {store.cells}: make some with "
            "'bench run', or give another --protocol or --results"
        )
    return found[0]


def find_row(store: Store, task: Task, name: str) -> Row:
    """The finished row that the table of the task calls so."""
    from bench.report.compare import find_row as find

    return find(find_table(store, task), name, ())


def show_table(store: Store, task: Task, as_json: bool) -> None:
    """Write the table of the task and print it, as 'bench run' does."""
    from bench.report.leaderboard import terminal, write
    from bench.report.verdict import verdict

    table = find_table(store, task)
    judged = verdict(table, store)
    paths = write(table, store.leaderboards, judged)
    if as_json:
        click.echo(json.dumps(json.loads(paths[2].read_text(encoding="utf-8")), indent=2, ensure_ascii=False))
    else:
        click.echo(f"\n{terminal(table, store, judged)}\n\nleaderboard: {files(paths)}\nresults:     {store.cells}")
