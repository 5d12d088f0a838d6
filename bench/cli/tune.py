"""``bench tune``."""

from __future__ import annotations

import json
import shlex
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import (
    POSITIVE,
    confine_option,
    protocol_options,
    raw_dir_option,
    results_option,
    set_option,
    track_option,
    trial_time_option,
)
from bench.cli.plan import carried_out, plan_option
from bench.errors import ConfigError

if TYPE_CHECKING:
    from bench.messages.study import Study, Trial


@click.command("tune")
@click.option("--models", help="Names, each perhaps with the preset to begin with: ease,MODEL@PRESET.")
@click.option("--dataset", help="A name of 'bench datasets list', or the path of a card.")
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, help="Configs to try of a model.")
@click.option("--prune/--no-prune", default=True, help="Give up a trial behind the median of those before.  [prune]")
@click.option("--sampler-seed", type=click.IntRange(min=0), default=1, show_default=True, help="What is tried.")
@plan_option
@set_option
@raw_dir_option
@results_option
@protocol_options
@trial_time_option
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Trials asked for together, and run at a time by all processes.  [1]"
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a trial.  [cores]")
@click.option("--memory-limit", type=POSITIVE, help="GiB of address space of a trial.")
@click.option("--device", help="auto, cpu, cuda, …  [auto]")
@click.option("--patience", type=click.IntRange(min=1), help="Validations without a better score that end a training.")
@click.option("--optuna", "place", metavar="FILE|URL", help="Copy the studies there, for optuna-dashboard.")
@confine_option
@track_option
@click.option("--json", "as_json", is_flag=True, help="Print the studies as JSON.")
@click.pass_context
def command(
    context: click.Context,
    /,
    trials: int,
    sampler_seed: int,
    prune: bool,
    plan: Path | None,
    place: str | None,
    results: Path,
    track: tuple[str, ...],
    as_json: bool,
    **_: Any,
) -> None:
    """Look for the best config of models by validation, with the same number of trials for each.

    The first trial is the preset; the others are drawn from the space that 'bench models info' shows, by TPE. Fields
    given by --set stay as they are. All validation users count, and nothing of test is read; where a split leaves no
    validation part, a tenth of train is one for the trials. What has been tried is not tried again, so that a study
    that was stopped goes on, and the same command with --jobs 2 on two machines with one results folder shares its
    trials. The result is MODEL@tuned, on other data MODEL@tuned:NAME:

        bench run --models MODEL,MODEL@tuned --dataset NAME
    """
    from bench.api import make_spec
    from bench.cli.progress import CellProgress
    from bench.cli.run import given
    from bench.messages.planned import OF_THE_MACHINE, Budget
    from bench.runs.planned import tuning_of
    from bench.runs.sampler import check_optuna, copy_to_optuna
    from bench.runs.task import find_rules
    from bench.runs.tune import tune

    fields = {name: value for name, value in given(context).items() if name not in ("plan", "place")}
    if plan:
        made, asked = carried_out(plan, fields, [name for name in OF_THE_MACHINE if name != "jobs"])
        spec, budget = tuning_of(made, asked), made.tuning or Budget()
        trials, sampler_seed, prune = budget.trials, budget.sampler_seed, budget.prune
    else:
        for name in ("trials", "sampler_seed", "prune"):
            fields.pop(name, None)
        if "trial_time" in fields:
            fields["time_budget"] = fields.pop("trial_time")
        for name in ("models", "dataset"):
            if name not in fields:
                raise ConfigError(f"--{name} is missing: give it (see 'bench tune --help')")
        spec = make_spec(**fields)
    models = [name.partition("@")[0] for name in spec.models]
    if strangers := set(spec.options) - set(models):
        raise ConfigError(f"options are given for {', '.join(sorted(strangers))}, which --models does not name")
    if twice := next((model for model in models if models.count(model) > 1), None):
        raise ConfigError(f"--models names {twice} twice: {twice}@tuned is one config, tune one preset of it")
    if place:
        check_optuna(place)
    studies, began = [], time.monotonic()

    def say(study: Study, trial: Trial) -> None:
        progress.say(_told(study, trial, trials, (time.monotonic() - began) / (trial.number + 1)))

    with CellProgress() as progress:
        for name, model in zip(spec.models, models, strict=True):
            own = spec.model_copy(update={"models": [name], "options": {model: spec.options.get(model, {})}})
            for fold in find_rules(own)[1].folds:
                began = time.monotonic()
                studies.append(tune(own, trials, sampler_seed, results, progress.tell, say, prune, track, fold))
                if place:
                    copy_to_optuna(studies[-1], place)
    if as_json:
        click.echo(json.dumps([study.model_dump(mode="json") for study in studies], indent=2, ensure_ascii=False))
        return
    click.echo(f"\n{_table(studies)}\n")
    then = ["--plan", str(plan)] if plan else ["--models", ",".join(f"{m},{m}@tuned" for m in models)]
    click.echo(f"by validation alone. test them:  bench run {shlex.join([*then, *_same(context, _OF_DATA)])}")


_OF_DATA = ("dataset", "raw_dir", "results", "protocol", "split_seed", "history", "exclude", "candidates", "fit")


def _same(context: click.Context, names: Sequence[str]) -> list[str]:
    """The options of these names that stand on the command line, as words."""
    own = click.core.ParameterSource.COMMANDLINE
    return [
        word
        for name in names
        if context.get_parameter_source(name) == own
        for word in (f"--{name.replace('_', '-')}", str(context.params[name]))
    ]


def _told(study: Study, trial: Trial, trials: int, seconds: float) -> str:
    """A line for a trial; ``seconds`` is what each has taken here, with all but its training."""
    from bench.cli.progress import clock

    score = f"{study.metric} {trial.score:.4f}" if trial.score is not None else f"failed: {trial.reason}"
    score += f", given up after epoch {trial.pruned}" if trial.pruned else ""
    score += ", at its limit" if trial.at_limit else ""
    best = f", best {study.best.score:.4f}" if study.best else ""
    wanted = trials if study.space else 1
    each = max(seconds, study.seconds / len(study.trials) / study.at_once)  # trials of before take no time now
    left = (wanted - trial.number - 1) * each
    time_left = f", about {clock(left)} left" if left >= 1 else ""
    took = f"({clock(trial.seconds)}{time_left})"
    return f"{study.title} {trial.number + 1}/{wanted}  {score}{best}  {took}  {_config(trial)}"


def _config(trial: Trial) -> str:
    """What a trial changed of the preset, in short."""
    values = {name: f"{v:.3g}" if isinstance(v, float) else v for name, v in trial.options.items()}
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "preset"


def _table(studies: list[Study]) -> str:
    """Default and best of each model."""
    from tabulate import tabulate

    from bench.messages.study import TUNED
    from bench.report.leaderboard import WIDTH

    lines = []
    for study in studies:
        first, best = study.trials[0].score, study.best
        lines.append([
            study.title,
            len(study.trials),
            sum(trial.score is None for trial in study.trials) or "",
            sum(trial.pruned is not None for trial in study.trials) or "",
            sum(trial.at_limit for trial in study.trials) or "",
            "" if first is None else f"{first:.4f}",
            "" if best is None else f"{best.score:.4f}",
            f"{study.seconds:.0f}",
        ])  # fmt: skip
    metric = f"{studies[0].metric}, validation"
    heads = ["model", "trials", "failed", "given up", "at limit", f"{metric}: preset", "best", "fit s"]
    table = tabulate(lines, headers=heads, disable_numparse=True)
    found = [f"{s.model}@{TUNED}{s.title.removeprefix(s.model)}: {_config(s.best)}" for s in studies if s.best]
    return "\n".join([table, "", *(textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in found)])
