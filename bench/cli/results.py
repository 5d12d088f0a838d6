"""``bench results``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import json_option, results_option, stored_dataset_option
from bench.errors import ResultsError, UnknownName, plain

if TYPE_CHECKING:
    from bench.report.kept import Kept
    from bench.runs.store import Store

_PRUNED = ("failed", "superseded", "damaged", "unfinished", "models")
_yes = click.option("--yes", is_flag=True, help="Remove them; without, they are only shown.")


@click.group("results", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List stored results, and remove what is no longer wanted."""
    if context.invoked_subcommand is None:
        context.invoke(list_results)


@command.command("list")
@results_option
@stored_dataset_option
@json_option
def list_results(results: Path = Path("results"), dataset: str | None = None, as_json: bool = False) -> None:
    """List all cells: state, size, when they were made, and what they are."""
    found = _cells(_store(results), dataset)
    if as_json:
        keys = ("id", "state", "size", "model_size", "row")
        rows = [{**{key: getattr(one, key) for key in keys}, "created": _created(one)} for one in found]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    _show(found)
    sums = {state: [one for one in found if one.state == state] for state in dict.fromkeys(one.state for one in found)}
    click.echo(", ".join(f"{len(some)} {state} ({_mib(some)})" for state, some in sums.items()) or "no results")


@command.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@results_option
@stored_dataset_option
@_yes
def remove_named(names: tuple[str, ...], results: Path, dataset: str | None, yes: bool) -> None:
    """Remove cells by NAME: an id of 'bench results list' or its beginning, or a row as the leaderboard calls it."""
    from bench.report.kept import named

    store = _store(results)
    found = _cells(store, dataset)
    chosen: dict[str, Kept] = {}
    for name in names:
        some = named(found, name)
        if not some:
            known = [one.id for one in found] + [one.row for one in found if one.row]
            raise UnknownName("result", name, known, "'bench results list'")
        chosen |= {one.id: one for one in some}
    _remove(store, list(chosen.values()), yes)


@command.command("prune")
@click.argument("kinds", nargs=-1, type=click.Choice(_PRUNED), metavar="[KIND]…")
@results_option
@stored_dataset_option
@_yes
def prune(kinds: tuple[str, ...], results: Path, dataset: str | None, yes: bool) -> None:
    """Remove cells that no table needs; by default those that are failed, superseded or damaged.

    \b
    failed      what has no numbers
    superseded  what a newer cell of the same row replaces, as a rule one of newer code
    damaged     what cannot be read
    unfinished  what has no result; its checkpoints go too
    models      the trained models of all cells, which keep their results
    """  # noqa: D301 - click knows the paragraph by the character itself
    store = _store(results)
    found = _cells(store, dataset)
    wanted = kinds or _PRUNED[:3]
    _remove(store, [one for one in found if one.state in wanted], yes)
    if "models" in wanted:
        _remove(store, [one for one in found if one.model_size and one.state not in wanted], yes, "model")


@command.command("publish")
@results_option
@stored_dataset_option
@click.option("--to", type=click.Path(path_type=Path), required=True, help="Folder of published results, perhaps new.")
def publish_tables(results: Path, dataset: str | None, to: Path) -> None:
    """Put what tables are made of into a folder that others may have.

    It is a results folder too, for --results of 'bench leaderboard' and 'bench compare', with the results, values per
    user of the main metrics by numbers instead of ids, and studies; without lists, logs, models and paths.
    """
    from bench.cli.progress import counted
    from bench.report.publish import publish
    from bench.report.table import tables
    from bench.runs.store import Store

    store = _store(results)
    found = tables(store.results(dataset))
    if not found:
        raise ResultsError(f"no results to publish in {store.cells}: make some with 'bench run'")
    paths = publish(found, store, Store(to))
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file()) / 2**20
    what, files = counted(len(found), "table"), counted(len(paths), "file")
    click.echo(f"published {what}; {to} has {files} of tables and {size:,.1f} MiB in all")


def _store(results: Path) -> Store:
    from bench.runs.store import Store

    return Store(results)


def _cells(store: Store, dataset: str | None) -> list[Kept]:
    from bench.report.kept import kept

    if store.cells.exists() and not store.cells.is_dir():
        raise ResultsError(f"{store.cells} is no folder: give another --results")
    return [one for one in kept(store) if dataset is None or (one.result and one.result.cell.dataset == dataset)]


def _created(one: Kept) -> str:
    return one.result.created if one.result else ""


def _mib(cells: Sequence[Kept]) -> str:
    return f"{sum(one.size for one in cells) / 2**20:,.1f} MiB"


def _show(cells: Sequence[Kept]) -> None:
    for one in cells:
        click.echo(f"{one.id}  {one.state:10} {_mib([one]):>12}  {plain(_created(one))[:19]:19}  {one.what}".rstrip())


def _remove(store: Store, cells: list[Kept], yes: bool, part: str = "") -> None:
    """Remove cells, or a part of their folders, and write the tables anew that they stood in."""
    from bench.cli.progress import counted
    from bench.report.files import rewrite
    from bench.runs.removal import remove_cell

    size = sum(one.model_size if part else one.size for one in cells) / 2**20
    what = f"{'the models of ' if part else ''}{counted(len(cells), 'cell')}, {size:,.1f} MiB"
    _show(cells)
    if not yes:
        click.echo(f"would remove {what}: give --yes to do it" if cells else "nothing to remove")
        return
    before = store.results()
    kept = [holder for one in cells if (holder := remove_cell(store.path(one.id), part))]
    for holder in kept:
        click.echo(f"kept: {holder}", err=True)
    if not part:
        rewrite(store, before)
    click.echo(f"removed {what}" if not kept else f"removed {len(cells) - len(kept)} of {what}")
