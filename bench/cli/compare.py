"""``bench compare``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bench.cli.options import many_results_option


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.option("--dataset", required=True)
@click.option("--protocol", help="Name of the protocol, if results of several are there.")
@click.option("--split-seed", type=int, help="Seed of the split, if results of several are there.")
@click.option("--fingerprint", help="Its beginning, if there are results on several data of this name.  [the newest]")
@click.option("--k", type=click.IntRange(min=1), help="Cut-off of the metrics.  [10, or the largest that both have]")
@many_results_option
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
def command(
    a: str,
    b: str,
    dataset: str,
    protocol: str | None,
    split_seed: int | None,
    fingerprint: str | None,
    k: int | None,
    results: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Paired difference A − B per metric and group, with a 95 % interval over users and seeds.

    A and B are rows of a leaderboard, named as there: a model, or model@preset. What both were measured by is compared.
    Users are paired, and the spread of the seeds of both rows is in the interval. Few seeds say little of their own
    spread: that of all rows of the table counts beside it, where five have several. Of a row of one seed, 5 % of its
    value are assumed, or what the others spread if that is more, unless its model does not depend on seeds: three seeds
    put a measurement in its place. A star marks what differs. Of the metric by which the table ranks, that is the
    verdict of the table: Holm's rule over all pairs of its rows. The lines of other metrics are a family of their own:
    of two models that are level, 5 % have any.
    """
    from bench.report.compare import compare
    from bench.runs.store import Store

    found = compare(Store(*results), a, b, dataset, k, protocol, split_seed, fingerprint)
    if as_json:
        for note in found.notes:
            click.echo(note, err=True)
        click.echo(json.dumps(json.loads(found.frame.to_json(orient="records")), indent=2))
    else:
        click.echo(found.text())
