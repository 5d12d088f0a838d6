"""``bench verify``."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import json_option, many_results_option, raw_dir_option
from bench.errors import ResultsError

if TYPE_CHECKING:
    from bench.report.row import Row


@click.command("verify")
@click.argument("row")
@click.option("--dataset", required=True, help="A name of 'bench datasets list', or the path of a card.")
@click.option("--protocol", help="Name of the protocol, if results of several are there.")
@click.option("--split-seed", type=int, help="Seed of the split, if results of several are there.")
@click.option("--fingerprint", help="Its beginning, if there are results on several data of this name.  [the newest]")
@click.option("--seeds", help="Of the row's seeds, those to run again, such as 1 or 1-3.  [all]")
@click.option("--device", help="auto, cpu, cuda, …  [that of the row]")
@raw_dir_option
@many_results_option
@json_option
def command(
    row: str,
    dataset: str,
    protocol: str | None,
    split_seed: int | None,
    fingerprint: str | None,
    seeds: str | None,
    device: str | None,
    raw_dir: Path | None,
    results: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Run a stored or published ROW again, and say whether its numbers are what they were.

    The same config, seeds, data and protocol run in a scratch folder, by the code that is here. Each number is equal to
    the digit, within the 95 % interval of the stored row, or different; exit status 1 if one is different. What differs
    in code, config, packages, data and machine stands below.
    """
    from bench.cli.progress import Progress
    from bench.report.compare import find_row, find_tables
    from bench.report.verify import DIFFERENT, verify
    from bench.runs.again import plan_again
    from bench.runs.execute import run_cells
    from bench.runs.store import Store

    store = Store(*results)
    table, *others = find_tables(store, dataset, protocol, split_seed, fingerprint)
    found = _with_seeds(find_row(table, row, others), seeds)
    plan = plan_again(found.results, dataset, raw_dir, device)
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as scratch, Progress(plan) as progress:
        verified = verify(found, store, run_cells(plan, Store(Path(scratch)), progress.tell))
    if as_json:
        numbers = json.loads(verified.frame.to_json(orient="records"))
        document = {"row": found.name, "state": verified.state, "differences": verified.differences, "numbers": numbers}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(f"\n{verified.text()}")
    if verified.state == DIFFERENT:
        raise SystemExit(1)


def _with_seeds(row: Row, seeds: str | None) -> Row:
    """The row of these of its seeds alone."""
    from bench.api import numbers

    if seeds is None or row.first.cell.deterministic:
        return row
    wanted, has = numbers("--seeds", seeds), sorted({result.cell.seed for result in row.results})
    if strangers := [seed for seed in wanted if seed not in has]:
        raise ResultsError(f"{row.name} has no seed {strangers[0]}: it has {', '.join(map(str, has))}")
    return replace(row, results=[result for result in row.results if result.cell.seed in wanted])
