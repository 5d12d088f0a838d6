"""``bench recommend``."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import (
    confine_option,
    protocol_options,
    raw_dir_option,
    results_option,
    set_option,
    time_budget_option,
)
from bench.cli.run import given
from bench.errors import ConfigError

if TYPE_CHECKING:
    from bench.messages.cell import Cell
    from bench.runs.recommend import Answer

LATEST = 5
"""Items of the history that are shown."""


@click.command("recommend")
@click.option("--model", required=True, help="A name of 'bench models list', perhaps with a preset: MODEL@PRESET.")
@click.option("--dataset", required=True, help="A name of 'bench datasets list'.")
@click.option("--user", "users", required=True, multiple=True, help="Original id of a user; repeatable.")
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Length of the list.")
@click.option("--explain", is_flag=True, help="Ask the model for its reasons, if it can give some.")
@set_option
@raw_dir_option
@results_option
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the model.")
@protocol_options
@time_budget_option
@click.option("--device", help="auto, cpu, cuda, …  [auto]")
@confine_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with the whole history.")
@click.pass_context
def command(
    context: click.Context,
    /,
    model: str,
    dataset: str,
    users: tuple[str, ...],
    k: int,
    explain: bool,
    results: Path,
    seed: int,
    as_json: bool,
    **_options: Any,
) -> None:
    """Print what a model recommends to a user, beside the user's history, and why.

    The model is the one that 'bench run --save-models' has kept under the same choices; if there is none, it is trained
    first and kept. History and exclusion are those of the test. Nothing of the test set is shown.
    """
    from bench.api import make_spec
    from bench.cli.progress import Progress
    from bench.data.catalog import card
    from bench.messages.description import ModelRequest
    from bench.runs.describe import describe
    from bench.runs.plan import make_plan
    from bench.runs.recommend import ask, find_users, train, trained
    from bench.runs.store import Store

    if "," in model:
        raise ConfigError(f"--model takes one name, not '{model}'")
    request = ModelRequest.parse(model)
    if explain and not describe([request])[0].explains:
        raise ConfigError(f"{request.model} does not explain its recommendations: go on without --explain")
    own = ("model", "dataset", "users", "k", "explain", "seed")
    fields = {name: value for name, value in given(context).items() if name not in own}
    planned = make_plan(make_spec(models=[model], dataset=dataset, seeds=[seed], **fields))
    planned = replace(planned, cells=planned.cells[:1])  # the first fold, if there are folds
    [cell], store = planned.cells, Store(results)
    numbers = find_users(planned.dataset, card(dataset), users, planned.spec.raw_dir)
    if store.cells.is_dir():
        store.open_for_writing()  # an earlier attempt may have been killed
    folder = trained(planned, store)
    if folder is None:
        before = store.result(cell.id)
        again = before is not None and before.status == "finished"
        why = "was run without keeping the model: it is trained again" if again else "is not trained yet: it is trained"
        click.echo(f"{cell.label} {why} and kept in {store.path(cell.id)}", err=True)
        with Progress(planned) as progress:
            folder = train(planned, store, progress.tell)
    answers, violations = ask(planned, folder, numbers, k, explain)
    if violations:
        found = ", ".join(f"{number:,} {kind}" for kind, number in violations.items())
        click.echo(f"warning: {cell.model} broke the contract in these slots: {found}; they are left out", err=True)
    click.echo(_document(cell, answers) if as_json else _page(cell, answers))


def _document(cell: Cell, answers: list[Answer]) -> str:
    names = ("model", "preset", "config", "dataset", "protocol", "fingerprint", "seed")
    head = cell.model_dump(mode="json", include=set(names))
    document = {**{name: head[name] for name in names}, "users": [asdict(answer) for answer in answers]}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def _page(cell: Cell, answers: list[Answer]) -> str:
    head = f"{cell.label} on {cell.dataset}, protocol {cell.protocol.name} ({cell.fingerprint[:8]})"
    return "\n\n".join([head, *(_text(answer) for answer in answers)])


def _text(answer: Answer) -> str:
    """One user's history and list."""
    from bench.report.recommendations import lines

    known, listed = answer.history[:LATEST], answer.recommendations
    ids, names = (max((len(one[key]) for one in (*known, *listed)), default=0) for key in ("item", "title"))
    latest = f", the latest {LATEST}" if len(answer.history) > LATEST else ""
    text = [f"user {answer.user}: {len(answer.history):,} items of history{latest}"]
    text += [f"      {one['item']:{ids}}  {one['title']}".rstrip() for one in known]
    text.append("recommended" if listed else "nothing is recommended, no item is left")
    for one in listed:
        text.append(f"{one['rank']:4}  {one['item']:{ids}}  {one['title']:{names}}  {one['score']:.4g}")
        text += [f"          {line}" for line in lines(one.get("explanation", {}))]
    return "\n".join(text)
