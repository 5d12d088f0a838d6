"""``bench compare``."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.option("--dataset", required=True)
@click.option("--protocol", help="Name of the protocol, if results of several are there.")
@click.option("--split-seed", type=int, help="Seed of the split, if results of several are there.")
@click.option("--k", default=10, show_default=True, help="Cut-off of the metrics.")
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
def command(
    a: str, b: str, dataset: str, protocol: str | None, split_seed: int | None, k: int, results: Path, as_json: bool
) -> None:
    """Paired difference A − B per metric and group, with a 95 % bootstrap interval over users.

    A and B are rows of a leaderboard, named as there: a model, or model@preset. Several seeds of a model are averaged
    per user first. A star marks an interval without 0.
    """
    from bench.report.compare import compare
    from bench.runs.store import Store

    found = compare(Store(results), a, b, dataset, k=k, protocol=protocol, split_seed=split_seed)
    if as_json:
        click.echo(json.dumps(json.loads(found.frame.to_json(orient="records")), indent=2))
    else:
        click.echo(found.text())
