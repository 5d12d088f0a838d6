"""``bench plan``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import (
    protocol_options,
    raw_dir_option,
    results_option,
    set_option,
    time_budget_option,
    trial_time_option,
)
from bench.errors import ConfigError

if TYPE_CHECKING:
    from bench.messages.planned import PlanFile
    from bench.messages.spec import RunSpec
    from bench.runs.planned import Cost

plan_option = click.option(
    "--plan",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Carry out a plan of 'bench plan', which says all but what is of this machine.",
)
_BUDGET = ("trials", "trial_time", "sampler_seed", "at_once", "prune")


@click.command("plan")
@click.option("--models", help="The rows of the table; MODEL@tuned for one that is tuned: pop,ease,ease@tuned.")
@click.option("--dataset", help="A name of 'bench datasets list', or the path of a card.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("plan.yaml"), show_default=True)
@set_option
@click.option("--seeds", help="Seeds of the models: 1,2 or 1-5.  [1]")
@click.option("--k", "ks", help="Cut-offs of the metrics.  [5,10,20]")
@protocol_options
@click.option("--groups", help="More groups, as for 'bench run'.")
@time_budget_option
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, help="Configs to try of a model.")
@trial_time_option
@click.option("--sampler-seed", type=click.IntRange(min=0), default=1, show_default=True, help="What is tried.")
@click.option("--at-once", type=click.IntRange(min=1), default=1, show_default=True, help="Trials asked for together.")
@click.option("--prune/--no-prune", default=True, help="Give up a trial behind the median of those before.  [prune]")
@click.option("--patience", type=click.IntRange(min=1), help="Validations without a better score that end it.  [10]")
@click.option("--validate-by", help="Metric that models stop and are tuned by.  [ndcg@10]")
@raw_dir_option
@results_option
@click.pass_context
def command(context: click.Context, /, output: Path, results: Path, **options: Any) -> None:
    """Write down a table before anything of it runs: rows, spaces, budget, metric, seeds, data and protocol.

    The file has a hash of its content. These carry it out, and refuse when data, configs or spaces are others now:

        bench tune --plan plan.yaml

        bench run --plan plan.yaml

    Studies and results bear the hash, and the table names it. The hours are forecast from the runs in the results
    folder, as by 'bench estimate'.
    """
    from bench.api import make_spec
    from bench.cli.run import given
    from bench.messages.planned import Budget
    from bench.runs.planned import costs, make_file, write_file

    fields = {name: value for name, value in given(context).items() if name not in (*_BUDGET, "output")}
    for name in ("models", "dataset"):
        if name not in fields:
            raise ConfigError(f"--{name} is missing: give it (see 'bench plan --help')")
    made, plan = make_file(make_spec(**fields), Budget(**{name: options[name] for name in _BUDGET}))
    expected = costs(made, plan, results)
    write_file(made, output)
    click.echo(told(expected))
    click.echo(f"plan {made.hash}: {output}")


def carried_out(path: Path, fields: dict[str, Any], leaves_open: Sequence[str]) -> tuple[PlanFile, RunSpec]:
    """A plan file, and its run with those fields that a plan leaves open.

    Raises
    ------
    ConfigError
        If other fields are given, or the plan does not hold here.
    """
    from bench.runs.planned import read_file, run_of

    if others := sorted(set(fields) - set(leaves_open)):
        raise ConfigError(f"--plan says what is run: leave out what sets {', '.join(others)}")
    made = read_file(path)
    return made, run_of(made, fields)


def told(expected: list[Cost]) -> str:
    """A table of what each row takes, and the sum."""
    from bench.report.leaderboard import pipe

    lines = [[cost.row, str(cost.runs), str(cost.trials or ""), hours(cost.hours), cost.basis] for cost in expected]
    unknown = [cost.row for cost in expected if cost.hours is None]
    total = sum(cost.hours or 0.0 for cost in expected)
    line = f"{hours(total)} processor hours{span(total)}"
    if unknown:
        line = "hours unknown" if len(unknown) == len(expected) else line
        line += f", without {', '.join(unknown)}: the results folder has no run of that model"
    return pipe(lines, ["row", "runs left", "trials", "hours", "forecast from"], text_columns=1) + f"\n\n{line}"


def hours(number: float | None) -> str:
    """For people."""
    if number is None:
        return "unknown"
    return "under .01" if 0 < number < 0.01 else f"{number:.2f}"


def span(number: float) -> str:
    """Between what most such forecasts are; empty where there is nothing to say."""
    from bench.runs.estimate import WITHIN

    return f" (most likely {hours(number / WITHIN)} to {hours(number * WITHIN)})" if number >= 0.01 else ""
