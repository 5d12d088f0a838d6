"""``bench run``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml

from bench.errors import BenchError


def numbers(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """``1,2,5-7`` as a list."""
    found: list[int] = []
    try:
        for part in value.split(","):
            low, _, high = part.strip().partition("-")
            found += range(int(low), int(high or low) + 1)
    except ValueError:
        raise BenchError(f"{parameter.opts[0]} takes whole numbers such as 1,2,5-7, not '{value}'") from None
    return found


def words(context: click.Context, parameter: click.Parameter, value: str) -> list[str]:
    """``a,b`` as a list."""
    return [word.strip() for word in value.split(",") if word.strip()]


def config_options(changes: tuple[str, ...], file: Path | None) -> dict[str, dict[str, Any]]:
    """Config changes by model, from a YAML file and from ``MODEL.KEY=VALUE`` words, which win."""
    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8")) if file else {}
        if not isinstance(loaded or {}, dict) or not all(isinstance(part, dict) for part in (loaded or {}).values()):
            raise BenchError(f"{file}: expected 'model: {{key: value}}' for each model")
        options: dict[str, dict[str, Any]] = {model: dict(part) for model, part in (loaded or {}).items()}
        for change in changes:
            path, equals, value = change.partition("=")
            model, dot, key = path.rpartition(".")
            if not (equals and dot and model and key):
                raise BenchError(f"--set takes MODEL.KEY=VALUE, not '{change}'")
            options.setdefault(model, {})[key] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise BenchError(f"no valid YAML in {file or '--set'}: {' '.join(str(error).split())}") from error
    return options


def files(paths: list[Path]) -> str:
    """Paths that differ in their endings, in short."""
    return f"{paths[0].with_suffix('')}.{{{','.join(path.suffix[1:] for path in paths)}}}"


def protocol_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose and change a protocol."""
    parts = ["train", "train+valid"]
    for option in (
        click.option("--candidates", type=click.Choice(["all", "train"]), help="Rank all items, or those in train."),
        click.option("--exclude", type=click.Choice(["none", *parts]), help="What is not recommended at test."),
        click.option("--history", type=click.Choice(parts), help="What is known of a user at test."),
        click.option(
            "--split-seed", type=click.IntRange(min=0), help="Seed of the split; another is another protocol."
        ),
        click.option(
            "--protocol", help="random, colarec, loo[:K], temporal, kfold[:K], strong or published.  [the data set's]"
        ),
    ):
        command = option(command)
    return command


@click.command("run")
@click.option("--models", required=True, help="Names, each perhaps with a preset: pop,ease,MODEL@PRESET.")
@click.option("--dataset", required=True, help="A name of 'bench datasets list'.")
@click.option("--set", "changes", multiple=True, metavar="MODEL.KEY=VALUE", help="Change a model's config; repeatable.")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The same from a YAML file, such as 'ease: {l2: 100}'.",
)
@click.option("--raw-dir", type=click.Path(path_type=Path), help="Folder of raw files.  [$BENCH_RAW_DIR]")
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option("--seeds", default="1", show_default=True, callback=numbers, help="Seeds of the models: 1,2 or 1-5.")
@click.option("--k", "ks", default="5,10,20", show_default=True, callback=numbers, help="Cut-offs of the metrics.")
@protocol_options
@click.option("--groups", default="", callback=words, help="More groups: quartiles,deciles,popularity,cold,FILE.csv.")
@click.option("--strict", is_flag=True, help="Make raw rows that cannot be used an error.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Cells at a time.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a cell.  [cores / jobs]")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds after which a cell is killed.")
@click.option("--time-budget", type=click.FloatRange(min=0, min_open=True), help="Seconds that a model may train.")
@click.option("--memory-limit", type=click.FloatRange(min=0, min_open=True), help="GiB of address space of a cell.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, …")
@click.option("--save-models", is_flag=True, help="Keep the trained models in their cells.")
@click.option(
    "--ablate",
    is_flag=False,
    flag_value="all",
    metavar="[NAME,NAME]",
    help="Run each model also without its parts ('bench models info'): all, or those named. Wins over --set.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def command(
    models: str,
    dataset: str,
    changes: tuple[str, ...],
    config: Path | None,
    results: Path,
    jobs: int,
    as_json: bool,
    **choices: Any,
) -> None:
    """Run models on a data set and print the leaderboard.

    What has been run before is not run again. A model that fails is a row of the table, and the exit status is 1.
    """
    from bench.cli.progress import Progress
    from bench.report import ablations
    from bench.report.leaderboard import terminal, write
    from bench.report.table import tables
    from bench.runs.run import carry_out, plan
    from bench.runs.store import Store

    planned = plan(models, dataset, options=config_options(changes, config), jobs=jobs, **choices)
    store = Store(results)
    with Progress(planned) as progress:
        done = carry_out(planned, store, jobs, progress.tell)
    cell = planned.cells[0]
    own = (cell.dataset, cell.fingerprint)
    everything = [result for result in store.results() if (result.cell.dataset, result.cell.fingerprint) == own]
    [table] = tables(everything)
    paths = write(table, store.leaderboards)
    ablated = {cell.unablated.name for cell in planned.cells if cell.ablation}
    found_parts = ablations.ablations(table, store) if ablated else []
    parts = [found for found in found_parts if found.whole.first.cell.name in ablated]
    part_paths = [ablations.write(found, store.leaderboards) for found in parts]
    failed = [result for result in done if result.status == "failed"]
    if as_json:
        document = json.loads(paths[2].read_text(encoding="utf-8"))
        document |= {"ablations": [found.document() for found in parts]} if ablated else {}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(f"\n{terminal(table, results)}\n")
        for found in parts:
            click.echo(f"{found.text()}\n")
        click.echo(f"leaderboard: {files(paths)}")
        for those in part_paths:
            click.echo(f"ablations:   {files(those)}")
        click.echo(f"results:     {store.cells}")
    if failed:
        count = f"{len(failed)} of {len(done)} cells" if len(done) > 1 else "the cell"
        click.echo(f"{count} failed; the reasons stand above, run the same command again to retry", err=True)
        raise SystemExit(1)
