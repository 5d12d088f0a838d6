"""``bench run``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from bench.cli.options import (
    POSITIVE,
    config_options,
    confine_option,
    files,
    protocol_options,
    raw_dir_option,
    results_option,
    set_option,
    time_budget_option,
    track_option,
)
from bench.cli.plan import carried_out, plan_option
from bench.errors import ConfigError
from bench.yaml_files import read_yaml

if TYPE_CHECKING:
    from bench.messages.spec import RunSpec


def given(context: click.Context) -> dict[str, Any]:
    """The options that stand on the command line, by the names of :class:`bench.messages.spec.RunSpec`."""
    own = click.core.ParameterSource.COMMANDLINE
    found = {name: value for name, value in context.params.items() if context.get_parameter_source(name) == own}
    if found.pop("unconfined", False):
        found["confine"] = False
    if stopping := _stopping(found):
        found["stopping"] = stopping
    changes, file = found.pop("changes", ()), found.pop("config", None)
    if changes or file:
        found["options"] = config_options(changes, file)
    return {name: value for name, value in found.items() if name not in ("spec", "results", "as_json", "track")}


def _stopping(found: dict[str, Any]) -> dict[str, Any]:
    """The fields of :class:`bench.messages.spec.Stopping` among the options, which are taken out."""
    names = {"patience": "patience", "every": "every", "validate_users": "users"}
    stopping = {field: found.pop(option) for option, field in names.items() if option in found}
    if "validate_by" in found:
        stopping["metric"], _, k = found.pop("validate_by").partition("@")
        stopping["k"] = k or 10
    return stopping


def read_spec(path: Path) -> dict[str, Any]:
    """The fields of a spec file.

    Raises
    ------
    ConfigError
        If it is no YAML mapping.
    """
    try:
        loaded = read_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected 'models: …', 'dataset: …' and other fields of a run")
    return loaded


def asked(context: click.Context, spec: Path | None, plan: Path | None, results: Path) -> RunSpec:
    """What a command with the options of ``bench run`` is asked to run."""
    from bench.api import make_spec
    from bench.messages.planned import OF_THE_MACHINE
    from bench.runs.planned import check_studies

    fields = {**(read_spec(spec) if spec else {}), **given(context)}
    if plan:
        made, planned = carried_out(plan, {name: fields[name] for name in fields if name != "plan"}, OF_THE_MACHINE)
        check_studies(made, results)
        return planned
    for name in ("models", "dataset"):
        if name not in fields:
            raise ConfigError(f"--{name} is missing: give it, or a --spec that has it (see 'bench run --help')")
    return make_spec(**fields)


@click.command("run")
@click.option("--models", help="Names, each perhaps with a preset: pop,ease,MODEL@PRESET.")
@click.option("--dataset", help="A name of 'bench datasets list', or the path of a card.")
@click.option(
    "--spec",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A YAML file with the fields of a run ('bench.RunSpec'); options of the command line win.",
)
@plan_option
@set_option
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The same from a YAML file, such as 'ease: {l2: 100}'.",
)
@raw_dir_option
@results_option
@click.option("--seeds", help="Seeds of the models: 1,2 or 1-5.  [1]")
@click.option("--k", "ks", help="Cut-offs of the metrics.  [5,10,20]")
@protocol_options
@click.option("--groups", help="More groups: quartiles,deciles,popularity,cold,memory,FILE.csv.")
@click.option("--strict", is_flag=True, help="Make raw rows that cannot be used an error.")
@click.option("--jobs", type=click.IntRange(min=1), help="Cells at a time.  [1]")
@click.option("--executor", type=click.Choice(["local", "ray"]), help="Where cells run (docs/scaling.md).  [local]")
@click.option("--address", help="Of a Ray cluster.  [$RAY_ADDRESS, or one that is begun here]")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a cell.  [cores / jobs]")
@click.option("--processes", type=click.IntRange(min=1), help="Train one model together, a GPU each.  [1]")
@click.option("--timeout", type=POSITIVE, help="Seconds after which a cell is killed.")
@time_budget_option
@click.option("--memory-limit", type=POSITIVE, help="GiB of address space of a cell.")
@click.option("--energy", is_flag=True, help="Measure what processors and GPUs take, one cell at a time.")
@click.option("--device", help="auto, cpu, cuda, …  [auto]")
@click.option(
    "--save-models/--no-save-models", default=None, help="Keep trained models in their cells.  [those up to 64 MiB]"
)
@click.option("--patience", type=click.IntRange(min=1), help="Validations without a better score that end it.  [10]")
@click.option("--validate-every", "every", type=click.IntRange(min=1), help="Epochs between two validations.  [1]")
@click.option("--validate-users", type=click.IntRange(min=1), help="Sample of validation users.  [2000]")
@click.option("--validate-by", help="Metric that models stop by.  [ndcg@10]")
@confine_option
@track_option
@click.option(
    "--ablate",
    is_flag=False,
    flag_value="all",
    metavar="[NAME,NAME]",
    help="Run each model also without its parts ('bench models info'): all, or those named. Wins over --set.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.pass_context
def command(
    context: click.Context,
    /,
    spec: Path | None,
    plan: Path | None,
    results: Path,
    track: tuple[str, ...],
    as_json: bool,
    **_options: Any,
) -> None:
    """Run models on a data set and print the leaderboard.

    What has been run before is not run again. A model that fails is a row of the table, and the exit status is 1.
    """
    from bench.cli.progress import Progress
    from bench.report import ablations
    from bench.report.leaderboard import terminal, write
    from bench.report.table import tables
    from bench.report.verdict import verdict
    from bench.runs.execute import run_cells
    from bench.runs.plan import make_plan
    from bench.runs.store import Store

    planned, store = make_plan(asked(context, spec, plan, results), results), Store(results)
    with Progress(planned) as progress:
        done = run_cells(planned, store, progress.tell, track)
    cell = planned.cells[0]
    [table] = tables(store.results(cell.dataset, {cell.fingerprint}))
    judged = verdict(table, store)
    paths = write(table, store.leaderboards, judged)
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
        click.echo(f"\n{terminal(table, store, judged)}\n")
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
