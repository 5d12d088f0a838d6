"""Plans that are made before anything runs: made, read, and held against what is there when they are carried out."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from bench.errors import ConfigError, plain
from bench.files import write_text
from bench.messages.description import ModelRequest
from bench.messages.planned import Budget, PlanFile, PlannedRow, hash_of
from bench.messages.spec import RunSpec
from bench.messages.study import TUNED, tuned_on
from bench.runs.describe import describe
from bench.runs.plan import Plan, make_plan
from bench.runs.room import Room
from bench.runs.sampler import search_space
from bench.runs.store import Store
from bench.runs.studies import FOLDER, find_study
from bench.runs.tune import at_validation

_AGAIN = "make a new plan with 'bench plan'"


def make_file(spec: RunSpec, budget: Budget) -> tuple[PlanFile, Plan]:
    """The plan file of a run whose ``MODEL@tuned`` rows are tuned by ``budget``; and the plan of its untuned cells.

    Raises
    ------
    BenchError
        For all that a run, or tuning, would refuse.
    """
    names = list(dict.fromkeys(spec.models))
    tunes = any(map(_is_tuned, names))
    requests = [_untuned(name, spec) for name in names]
    rows = {}
    for name, model in zip(names, describe(requests), strict=True):
        fixed = spec.options.get(model.model, {})
        space = search_space(model) if _is_tuned(name) else {}
        rows[name] = PlannedRow(
            preset=model.preset, config=model.config, space={k: v for k, v in space.items() if k not in fixed}
        )
    untuned = list(dict.fromkeys(name.removesuffix(f"@{TUNED}") for name in names))
    plan = make_plan(spec.model_copy(update={"models": untuned}))
    for fold in plan.folds if tunes else ():
        at_validation(plan, fold)  # refuses what leaves nothing to validate on
    made = PlanFile(
        run=spec.model_copy(update={"models": names}),
        tuning=budget if tunes else None,
        rows=rows,
        dataset=plan.cells[0].dataset,
        protocol=plan.protocol,
        fingerprint=next(iter(plan.folds.values())).split.fingerprint,
    )
    return made.model_copy(update={"hash": hash_of(made.content())}), plan


def write_file(made: PlanFile, path: Path) -> None:
    """Write a plan where no file is.

    Raises
    ------
    ConfigError
        If there is one.
    """
    if path.exists():
        raise ConfigError(f"{path} is there already: remove it, or give another --output")
    head = "# Made before it is carried out, by 'bench tune --plan FILE' and 'bench run --plan FILE'.\n"
    write_text(path, head + yaml.safe_dump({"hash": made.hash, **made.content()}, sort_keys=False, allow_unicode=True))


def read_file(path: Path) -> PlanFile:
    """A plan that is as it was made.

    Raises
    ------
    ConfigError
        If it is none, or was changed.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = PlanFile.model_validate(loaded)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no valid YAML: {plain(str(error), 200)}") from error
    except ValidationError as error:
        first = error.errors()[0]
        what = plain(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", 200)
        raise ConfigError(f"{path} is no plan ({what}): {_AGAIN}") from error
    # Of what the file says, not of what it is read as: a later version may have more fields.
    if found.hash != hash_of({name: value for name, value in loaded.items() if name != "hash"}):
        raise ConfigError(f"{path} was changed after it was made, its hash is not that of its content: {_AGAIN}")
    return found


def run_of(made: PlanFile, machine: dict[str, Any]) -> RunSpec:
    """The run of a plan on this machine, if data and models still are what was planned.

    Raises
    ------
    ConfigError
        If they are not.
    """
    spec = made.run.model_copy(update={**machine, "plan": made.hash})
    now, _ = make_file(spec, made.tuning or Budget())
    if now.fingerprint != made.fingerprint:
        raise ConfigError(
            f"plan {made.hash} was made for other data or another protocol (fingerprint {made.fingerprint[:12]}, "
            f"here {now.fingerprint[:12]}): {_AGAIN}"
        )
    for name, row in made.rows.items():
        for what in ("preset", "config", "space"):
            if getattr(now.rows[name], what) != getattr(row, what):
                raise ConfigError(f"{name} has another {what} than plan {made.hash} says: {_AGAIN}")
    return spec


def tuning_of(made: PlanFile, spec: RunSpec) -> RunSpec:
    """What :func:`bench.runs.tune.tune` is given, model by model, of the run of a plan.

    Raises
    ------
    ConfigError
        If it tunes nothing.
    """
    models = [ModelRequest.parse(name).model for name in made.rows if _is_tuned(name)]
    if made.tuning is None:
        raise ConfigError(f"plan {made.hash} tunes no model: 'bench run --plan' carries it out")
    options = {model: changes for model, changes in spec.options.items() if model in models}
    update = {"models": models, "options": options, "ablate": [], "time_budget": made.tuning.trial_time}
    return spec.model_copy(update={**update, "jobs": made.tuning.at_once})


def untuned(made: PlanFile, results: Path) -> list[str]:
    """The models that a plan tunes, and that were not tuned by it to the end in each of its splits."""
    found = []
    for name in filter(_is_tuned, made.rows):
        model = ModelRequest.parse(name).model
        wanted = made.tuning.trials if made.tuning and made.rows[name].space else 1
        if not all(_by_plan(made, results, model, fold, wanted) for fold in made.protocol.folds):
            found.append(model)
    return found


def _by_plan(made: PlanFile, results: Path, model: str, fold: int | None, trials: int) -> bool:
    try:
        study = find_study([results], made.dataset, model, made.fingerprint, fold)
    except ConfigError:
        return False
    return study.plan == made.hash and len(study.trials) >= trials


def check_studies(made: PlanFile, results: Path) -> None:
    """See that what a plan tunes was tuned by it.

    Raises
    ------
    ConfigError
        If not.
    """
    for model in untuned(made, results):
        raise ConfigError(
            f"{model} was not tuned to the end by plan {made.hash}: 'bench tune --plan FILE' with its file does it"
        )


class Cost(NamedTuple):
    """What a row is expected to take."""

    row: str
    runs: int
    """Cells that have no result yet."""
    trials: int
    """In all splits together."""
    hours: float | None
    """Of processors; None if nothing is known."""
    basis: str
    """What they are taken from, in words."""


def costs(made: PlanFile, plan: Plan, results: Path, *beside: Path) -> list[Cost]:
    """The hours that each row is forecast to take, by what runs and trials of the results folders took.

    A tuned row and its trials are forecast by its config before tuning; trials that are given up take less.
    """
    store = Store(results, *beside, *(folder / FOLDER for folder in (results, *beside)))
    room = Room(plan, store)
    found = []
    for name, row in made.rows.items():
        request, tuned = ModelRequest.parse(name), _is_tuned(name)
        cells = [c for c in plan.cells if c.model == request.model and c.preset == row.preset]
        done = 0 if tuned else sum((r := store.result(c.id)) is not None and r.status == "finished" for c in cells)
        trials = (made.tuning.trials if row.space else 1) * len(plan.folds) if tuned and made.tuning else 0
        number = len(cells) - done + trials
        forecasts = [one for cell in cells if (one := room.forecast(cell)) is not None]
        hours = number * statistics.mean(one.seconds for one in forecasts) / 3600 if forecasts else None
        basis = forecasts[0].basis if forecasts and number else ""
        found.append(Cost(name, len(cells) - done, trials, hours if number else 0.0, basis))
    return found


def _is_tuned(name: str) -> bool:
    return ModelRequest.parse(name).preset == TUNED


def _untuned(name: str, spec: RunSpec) -> ModelRequest:
    """The model as it is before tuning."""
    request = ModelRequest.parse(name)
    if tuned_on(request.preset):
        raise ConfigError(f"{plain(name)}: a plan tunes on its own data: leave it out, and run it beside the plan")
    preset = None if request.preset == TUNED else request.preset
    return request.model_copy(update={"preset": preset, "options": spec.options.get(request.model, {})})
