"""``bench references``."""

from __future__ import annotations

import json

import click

from bench.cli.options import json_option
from bench.errors import UnknownName


@click.command("references")
@click.option("--dataset", help="Only those on this data set, in full.")
@json_option
def command(dataset: str | None, as_json: bool) -> None:
    """List figures of others, by data set and protocol, as references.yaml has them.

    'bench run' and 'bench leaderboard' show beside a table those of its own protocol, and what its rows reach of them.
    """
    from bench.report.reference_page import page
    from bench.report.references import references

    found = list(references().values())
    known = sorted({name for card in found for name in card.datasets})
    if dataset is not None:
        found = [card for card in found if dataset in card.datasets]
        if not found:
            raise UnknownName("data set with figures of others", dataset, known, "'bench references'")
    if as_json:
        click.echo(json.dumps([card.model_dump(mode="json") for card in found], indent=2, ensure_ascii=False))
    elif dataset is not None:
        click.echo(page(found))
    else:
        for name in known:
            own = [card for card in found if name in card.datasets]
            click.echo(f"{name:16} {sum(len(card.figures) for card in own):3} figures from {len(own)} sources")
