"""``bench datasets``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bench.errors import ConfigError

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
        click.echo(f"{card.name:16} {card.title}")


@command.command("info")
@click.argument("name")
@_RAW_DIR
@click.option("--protocol", "split_by", help="Of the statistics; the data set's own if left out.")
@_JSON
def info(name: str, raw_dir: Path | None, split_by: str | None, as_json: bool) -> None:
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
        found = statistics(prepare(card, raw_dir), card, protocol(split_by or card.protocol))
    if as_json:
        document = {"card": card.model_dump(mode="json"), "statistics": found, "missing": missing}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    click.echo("\n\n".join(part for part in (f"{card.name}: {card.title}", card.about.strip()) if part) + "\n")
    lines = [("cite", card.citation), ("licence", card.licence)]
    for source in card.sources:
        for file in source.files.values():
            place = f"inside the Python package {source.package}" if source.package else file.url or "by hand"
            details = [place, *([file.size] if file.size else []), *([f"SHA-256 {file.sha256}"] if file.sha256 else [])]
            lines.append(("file", f"{file.name} ({', '.join(details)})"))
        if source.instructions:
            lines.append(("by hand", source.instructions))
    for what, template in (("item text", card.texts.item), ("user text", card.texts.user)):
        if template:
            lines.append((what, template.prefix + template.separator.join(template.parts) + template.suffix))
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
    from bench.data.protocol import protocol as find_protocol
    from bench.data.split import split
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


_TABLE = click.Path(exists=True, dir_okay=False, path_type=Path)


@command.command("add")
@click.argument("name")
@click.option("--interactions", multiple=True, type=_TABLE, help="A table of interactions; repeatable.")
@click.option("--train", type=_TABLE, help="Instead: the tables of a ready split (protocol 'published').")
@click.option("--valid", type=_TABLE, help="Its validation part, if it has one.")
@click.option("--test", type=_TABLE, help="Its test part.")
@click.option("--items", type=_TABLE, help="Item texts, if any.")
@click.option("--users", type=_TABLE, help="User texts, if any.")
@click.option("--user-column", help="Name of the column; guessed if it has a usual name.")
@click.option("--item-column", help="Name of the column; guessed if it has a usual name.")
@click.option("--time-column", help="Name of the column; guessed if it has a usual name.")
@click.option("--rating-column", help="Name of the column; guessed if it has a usual name.")
@click.option("--k-core", type=click.IntRange(min=0), help="Least interactions of every user and item.  [no filter]")
@click.option("--min-rating", type=float, help="Lower ratings are no interactions.  [no filter]")
@click.option("--encoding", help="Of text files, such as latin-1.  [utf-8]")
@click.option("--output", type=click.Path(path_type=Path), help="The card to write.  [NAME.yaml]")
def add(
    name: str,
    interactions: tuple[Path, ...],
    train: Path | None,
    valid: Path | None,
    test: Path | None,
    items: Path | None,
    users: Path | None,
    k_core: int | None,
    min_rating: float | None,
    encoding: str | None,
    output: Path | None,
    **columns: str | None,
) -> None:
    """Make a card for tables of your own (CSV, TSV, JSON lines, Parquet; also packed): guess their columns, show the
    guess, write NAME.yaml.
    """
    from bench.data.catalog import cards
    from bench.data.infer_card import make_card

    if name in cards():
        raise ConfigError(f"'{name}' is a data set of 'bench datasets list': give another name")
    parts = {part: path for part, path in (("train", train), ("valid", valid), ("test", test)) if path is not None}
    filters = {"k_core": k_core, "min_rating": min_rating}
    text = make_card(
        name,
        interactions,
        split=parts or None,
        items=items,
        users=users,
        columns={key.removesuffix("_column"): column for key, column in columns.items() if column is not None},
        filters={key: value for key, value in filters.items() if value is not None},
        encoding=encoding,
    )
    overlapping = _overlaps(text, parts) if parts else {}
    path = output or Path(f"{name}.yaml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} exists already: remove it or give another --output") from None
    click.echo(text)
    for what, number in overlapping.items():
        click.echo(f"warning: {number:,} {what}", err=True)
    click.echo(f"written: {path}. Correct it there if the guess is wrong, then:")
    if "time:" not in text:
        click.echo("no column of times was found: the order of the rows counts as time")
    click.echo(f"bench run --models pop,ease --dataset {path}")


def _overlaps(text: str, parts: dict[str, Path]) -> dict[str, int]:
    """How many interactions stand in two tables of a ready split, by words; ``text`` is the card."""
    import yaml

    from bench.data.overlaps import overlaps_of
    from bench.data.sources.table import read

    [card] = yaml.safe_load(text).values()
    options = card["sources"][0]["options"]
    return overlaps_of(read(parts, options["columns"], encoding=options.get("encoding")).interactions)
