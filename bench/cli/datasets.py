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
@_JSON
def info(name: str, as_json: bool) -> None:
    """Show the card of a data set: what it is, where its files come from, how it is used by default."""
    from bench.data.catalog import card as find_card
    from bench.data.protocol import protocol

    card = find_card(name)
    if as_json:
        click.echo(card.model_dump_json(indent=2))
        return
    click.echo(f"{card.name}: {card.title}\n\n{card.about}\n")
    for head, text in (("cite", card.citation), ("licence", card.licence)):
        click.echo(f"{head:9} {text}")
    for source in card.sources:
        for file in source.files.values():
            place = f"inside the Python package {source.package}" if source.package else file.url or "no public address"
            click.echo(f"{'file':9} {file.name} ({place})")
    if card.expected:
        counts = card.expected
        click.echo(f"{'size':9} {counts.users:,} users, {counts.items:,} items, {counts.interactions:,} interactions")
    click.echo(
        f"{'filters':9} {card.filters.k_core or 'no '}-core, duplicate pairs: keep the {card.filters.duplicates}"
    )
    click.echo(f"{'protocol':9} {card.protocol}: {protocol(card.protocol).describe()}")
    click.echo(f"{'tail':9} {card.long_tail.rule} {card.long_tail.value:g}")


@command.command("prepare")
@click.argument("name")
@_RAW_DIR
@click.option("--protocol", help="The data set's own if left out.")
@click.option("--split-seed", type=int)
@_JSON
def prepare_dataset(
    name: str, raw_dir: Path | None, protocol: str | None, split_seed: int | None, as_json: bool
) -> None:
    """Read, filter and split a data set now, and say what came of it."""
    from bench.data.catalog import card as find_card
    from bench.data.groups import user_groups
    from bench.data.prepare import prepare, split
    from bench.data.protocol import protocol as find_protocol

    card = find_card(name)
    rules = find_protocol(protocol or card.protocol, split_seed)
    data = prepare(card, raw_dir)
    parts = split(data, rules)
    train, valid, test = parts.visible.train, parts.visible.valid, parts.hidden.test
    groups = user_groups(train.lengths, card.long_tail)
    counted = {group.name: (group.rule, int(group.members.sum())) for group in groups}
    if as_json:
        click.echo(
            json.dumps(
                {
                    **data.facts,
                    "fingerprint": parts.fingerprint,
                    "folder": str(data.path),
                    "train": len(train),
                    "valid": len(valid),
                    "test": len(test),
                    "groups": {group: {"rule": rule, "users": n} for group, (rule, n) in counted.items()},
                },
                indent=2,
            )
        )
        return
    for step, left in data.facts["steps"]:
        click.echo(f"{left:>12,}  {step}")
    for problem, number in data.facts["problems"].items():
        click.echo(f"{number:>12,}  left out: {problem}")
    click.echo(
        f"{data.n_users:>12,}  users\n{data.n_items:>12,}  items, {data.facts['without_text']:,} without any text"
    )
    click.echo(f"{len(train):>12,}  train\n{len(valid):>12,}  validation\n{len(test):>12,}  test")
    for group, (rule, n) in counted.items():
        click.echo(f"{n:>12,}  users in '{group}': {rule}")
    click.echo(f"fingerprint {parts.fingerprint[:12]}, prepared in {data.path}")
