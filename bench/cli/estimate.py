"""``bench estimate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import json_option, many_results_option
from bench.cli.plan import carried_out, hours, span, told
from bench.cli.run import asked, given
from bench.cli.run import command as run

if TYPE_CHECKING:
    from bench.runs.costs import RowCost
    from bench.runs.room import Room

_OF_RUN = [option for option in run.params if option.name not in ("results", "as_json", "track")]


@click.command("estimate", params=_OF_RUN)
@many_results_option
@json_option
@click.pass_context
def command(
    context: click.Context, /, spec: Path | None, plan: Path | None, results: tuple[Path, ...], as_json: bool, **_: Any
) -> None:
    """Forecast memory and processor time of a run: the options are those of 'bench run'.

    Forecasts come from the recorded runs and trials of the same models in the results folders: of the same config on
    the same data, or else by how memory and time grew with users, items and interactions. Nothing is run. Of a plan
    that is not tuned yet, the hours of its trials and runs are told, as by 'bench plan'.
    """
    from bench.runs.costs import row_costs
    from bench.runs.plan import make_plan
    from bench.runs.room import Room
    from bench.runs.store import Store
    from bench.runs.studies import FOLDER

    if plan and (of_plan := _before_tuning(context, plan, results, as_json)):
        click.echo(of_plan)
        return
    planned = make_plan(asked(context, spec, plan, results[0]), results[0])
    store = Store(*results, *(folder / FOLDER for folder in results))
    room = Room(planned, store)
    found = row_costs(planned, store, room)
    if as_json:
        click.echo(json.dumps([row._asdict() for row in found], indent=2, ensure_ascii=False))
    else:
        click.echo(_told(found, room, planned.spec.jobs))


def _before_tuning(context: click.Context, path: Path, results: tuple[Path, ...], as_json: bool) -> str:
    """What a plan takes whose models are not all tuned; empty if they are."""
    from bench.messages.planned import OF_THE_MACHINE, Budget
    from bench.runs.planned import costs, make_file, untuned

    made, spec = carried_out(path, {name: v for name, v in given(context).items() if name != "plan"}, OF_THE_MACHINE)
    if not (models := untuned(made, results[0])):
        return ""
    found = costs(made, make_file(spec, made.tuning or Budget())[1], *results)
    if as_json:
        return json.dumps([row._asdict() for row in found], indent=2, ensure_ascii=False)
    return (
        f"{told(found)}\nnot tuned yet, so trials and tuned rows are forecast by the preset, and memory is not: "
        f"{', '.join(models)}"
    )


def _told(found: list[RowCost], room: Room, jobs: int) -> str:
    """A table, the sum, and what does not fit."""
    from bench.errors import plain
    from bench.report.leaderboard import pipe
    from bench.runs import environment

    heads = ["row", "runs left", "GiB", "hours", "s an epoch", "epochs", "forecast from"]
    text = pipe([_line(row) for row in found], heads, text_columns=1)
    known = [row.hours for row in found if row.hours is not None]
    nothing = not known and any(row.runs for row in found)
    in_all = "unknown" if nothing else f"{hours(sum(known))}{span(sum(known))}"
    total, cores = room.total / 1024, environment.cores()
    lines = [f"processor hours in all: {in_all}; this machine: {cores} cores, {total:.1f} GiB, --jobs {jobs}"]
    unknown = [plain(row.row) for row in found if row.runs and row.gib is None]
    if unknown:
        lines.append(f"unknown: {', '.join(unknown)}: no run of these models in the results folders")
    lines += [f"{plain(row.row)} {row.refusal}" for row in found if row.refusal]
    return f"{text}\n\n" + "\n".join(lines)


def _line(row: RowCost) -> list[str]:
    from bench.errors import plain

    if not row.runs or row.gib is None:
        return [plain(row.row), str(row.runs), *[""] * 4, "" if row.runs else "nothing to train"]
    numbers = [_number(value or 0.0) for value in (row.gib, row.hours, row.seconds_an_epoch)]
    return [plain(row.row), str(row.runs), *numbers, str(row.epochs), row.basis]


def _number(value: float) -> str:
    return f"{value:.2f}" if value >= 0.01 or value == 0 else "under .01"
