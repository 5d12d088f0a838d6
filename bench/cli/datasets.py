"""``bench datasets``."""

from __future__ import annotations

import json
from pathlib import Path

import click

_RAW_DIR = click.option("--raw-dir", type=click.Path(path_type=Path), help="Folder of raw files.  [$BENCH_RAW_DIR]")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


@click.group("datasets", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List, describe and prepare data sets."""
    if context.invoked_subcommand is None:
        context.invoke(list_datasets)


@command.command("list")
@_JSON
def list_datasets(as_json: bool = False) -> None:
    """List the cards of datasets.yaml."""
    from bench.data.catalog import cards

    found = cards()
    if as_json:
        click.echo(json.dumps([card.model_dump(mode="json") for card in found.values()], indent=2, ensure_ascii=False))
        return
    for card in found.values():
        click.echo(f"{card.name:14} {card.title}")


@command.command("info")
@click.argument("name")
@_RAW_DIR
@_JSON
def info(name: str, raw_dir: Path | None, as_json: bool) -> None:
    """Show the card of a data set, and its live statistics where the raw files are at hand."""
    from bench.data.catalog import card as find_card
    from bench.data.prepare import prepare
    from bench.data.protocol import protocol
    from bench.data.raw import locate_local
    from bench.data.statistics import statistics

    card = find_card(name)
    found, missing = {}, None
    if locate_local(card, raw_dir) is None:
        missing = f"the raw files are not here; 'bench datasets prepare {name}' fetches them or says how to get them"
    else:
        found = statistics(prepare(card, raw_dir), card, protocol(card.protocol))
    if as_json:
        document = {"card": card.model_dump(mode="json"), "statistics": found, "missing": missing}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    click.echo(f"{card.name}: {card.title}\n\n{card.about}\n")
    lines = [("cite", card.citation), ("licence", card.licence)]
    for source in card.sources:
        for file in source.files.values():
            place = f"inside the Python package {source.package}" if source.package else file.url or "by hand"
            details = [place, *([file.size] if file.size else []), *([f"SHA-256 {file.sha256}"] if file.sha256 else [])]
            lines.append(("file", f"{file.name} ({', '.join(details)})"))
        if source.by_hand:
            lines.append(("by hand", source.by_hand))
    for what, template in (("item text", card.texts.item), ("user text", card.texts.user)):
        if template:
            lines.append((what, template.before + template.between.join(template.parts) + template.after))
    lines += [
        (
            "filters",
            ", ".join(f"{key} {value}" for key, value in card.filters.model_dump(exclude_defaults=True).items()),
        ),
        ("protocol", f"{card.protocol}: {protocol(card.protocol).describe()}"),
        ("long tail", f"{card.long_tail.rule} {card.long_tail.value:g}"),
    ]
    for head, text in [*lines, *found.items()]:
        if text:
            click.echo(f"{head:14} {text}")
    if missing:
        click.echo(f"\nno statistics: {missing}")


@command.command("prepare")
@click.argument("name")
@_RAW_DIR
@click.option("--protocol", help="The data set's own if left out.")
@click.option("--split-seed", type=int)
@click.option("--strict", is_flag=True, help="Make raw rows that cannot be used an error.")
@_JSON
def prepare_dataset(
    name: str, raw_dir: Path | None, protocol: str | None, split_seed: int | None, strict: bool, as_json: bool
) -> None:
    """Read, filter and split a data set now, and say what came of it."""
    from bench.data.catalog import card as find_card
    from bench.data.prepare import prepare
    from bench.data.split import split
    from bench.data.protocol import protocol as find_protocol
    from bench.data.statistics import statistics

    card = find_card(name)
    rules = find_protocol(protocol or card.protocol, split_seed)
    data = prepare(card, raw_dir, strict)
    found = statistics(data, card, rules)
    if as_json:
        fingerprint = split(data, rules, rules.folds[0]).fingerprint
        document = {**data.facts, "fingerprint": fingerprint, "folder": str(data.path), "statistics": found}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for step, left in data.facts["steps"]:
        click.echo(f"{left:>12,}  {step}")
    for problem, number in {**data.facts["problems"], **data.facts["warnings"]}.items():
        click.echo(f"{number:>12,}  {problem}")
    for head, text in found.items():
        click.echo(f"{head:14} {text}")
    click.echo(f"prepared in {data.path}")


@command.command("add")
@click.argument("name")
@click.option("--interactions", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--items", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Item texts, if any.")
@click.option("--users", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="User texts, if any.")
@click.option("--output", type=click.Path(path_type=Path), help="The card to write.  [NAME.yaml]")
def add(name: str, interactions: Path, items: Path | None, users: Path | None, output: Path | None) -> None:
    """Make a card for tables of your own (CSV or Parquet): guess their columns, show the guess, write NAME.yaml."""
    from bench.data.infer_card import make_card

    path = output or Path(f"{name}.yaml")
    text = make_card(name, interactions, items, users)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        from bench.errors import BenchError

        raise BenchError(f"{path} exists already: remove it or give another --output") from None
    click.echo(f"{text}\nwritten: {path}. Mend the guess there if it is wrong, then:")
    if "time:" not in text:
        click.echo("no column of times was found: the order of the rows counts as time")
    click.echo(f"bench run --models pop,ease --dataset {path}")
