"""Look for the best config of a model by validation: TPE over the space that its config declares, nothing of test.

A trial is a cell on a split whose validation part is measured in place of test, in a store of its own, ``tuning/`` of
the results folder. What the sampler asks for is a function of its seed and of the scores before, so that a study that
was killed is gone through again from its cells, and goes on where it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from bench.data.hidden import Split, Validation
from bench.errors import ConfigError, DataError, PluginError
from bench.files import content_hash, write_text
from bench.messages.cell import Cell, Result
from bench.messages.description import Description, ModelRequest
from bench.messages.spec import RunSpec
from bench.messages.study import Study, Trial
from bench.runs.describe import describe
from bench.runs.execute import Watch, run_cells
from bench.runs.plan import Plan, make_plan
from bench.runs.store import Store
from bench.runs.studies import FOLDER, study_path
from bench.runs.task import Fold

_RANDOM = 8
"""Trials that the sampler draws without having learnt, the preset among them."""

Space = dict[str, dict[str, Any]]


def tune(
    spec: RunSpec, trials: int, seed: int, results: Path, watch: Watch, tell: Callable[[Study, Trial], None]
) -> Study:
    """Tune the one model of ``spec``; after each trial the study is written, and told.

    The first trial is the preset with the options of the spec, which are not tuned. A model without a space, or one
    that does not depend on what is left of it, has that trial alone.

    Raises
    ------
    ConfigError
        If the protocol has folds, each of which would need a study of its own.
    DataError
        If the split leaves no validation part.
    """
    request = ModelRequest.parse(spec.models[0])
    fixed = spec.options.get(request.model, {})
    [described] = describe([request.model_copy(update={"options": fixed})])
    space = {name: part for name, part in search_space(described).items() if name not in fixed}
    store, study = Store(results / FOLDER), None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.create_study(direction="maximize")
    sampler.enqueue_trial({name: described.config[name] for name in space})
    metric = f"{spec.stopping.metric}@{spec.stopping.k}"
    ks = sorted({*spec.ks, spec.stopping.k})
    for number in range(trials if space else 1):
        sampler.sampler = optuna.samplers.TPESampler(seed=_seed(seed, number), n_startup_trials=_RANDOM)
        asked = sampler.ask({name: _distribution(part) for name, part in space.items()})
        options = {**fixed, **asked.params} if number else dict(fixed)
        own = {"options": {request.model: options}, "seeds": [1], "ks": ks, "groups": [], "save_models": False}
        plan = at_validation(make_plan(spec.model_copy(update=own)))
        if study is None:
            study = _begin(plan, described, metric, seed, space)
        [result] = run_cells(plan, store, watch)
        trial = _judged(number, options, metric, result)
        state = optuna.trial.TrialState.FAIL if trial.score is None else None
        sampler.tell(asked, trial.score, state=state)
        study = study.model_copy(update={"trials": [*study.trials, trial]})
        write_text(study_path(results, study.dataset, study.model, study.fingerprint), study.model_dump_json(indent=2))
        tell(study, trial)
    assert study is not None
    return study


def search_space(model: Description) -> Space:
    """Where to look, by field: ``low``, ``high`` and ``log``, or ``choices``, and its ``type``.

    The value of the preset is made a part of it.

    Raises
    ------
    PluginError
        If it cannot be: a space by factors does not reach 0.
    """
    found: Space = {}
    for name, field in model.config_schema["properties"].items():
        if search := field.get("search"):
            value, part = model.config[name], {key: kept for key, kept in search.items() if kept is not None}
            if "choices" in part:
                part["choices"] = [*part["choices"], *([] if value in part["choices"] else [value])]
            else:
                if part["log"] and value <= 0:
                    raise PluginError(f"{model.model}: {name} is tuned by factors, and {value} is none")
                part["type"] = field.get("type", "number")
                part["low"], part["high"] = min(part["low"], value), max(part["high"], value)
            found[name] = part
    return found


def _distribution(part: dict[str, Any]) -> optuna.distributions.BaseDistribution:
    if "choices" in part:
        return optuna.distributions.CategoricalDistribution(part["choices"])
    low, high, log = part["low"], part["high"], part["log"]
    if part["type"] == "integer":
        return optuna.distributions.IntDistribution(int(low), int(high), log=log)
    return optuna.distributions.FloatDistribution(low, high, log=log)


def _seed(seed: int, number: int) -> int:
    """Of the sampler for one trial, so that it does not matter how the study came to it."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")


def at_validation(plan: Plan) -> Plan:
    """The same cells, tested on the validation part by the rules of validation.

    Raises
    ------
    ConfigError, DataError
        See :func:`tune`.
    """
    if list(plan.folds) != [None]:
        raise ConfigError(f"protocol '{plan.protocol.name}' has folds: tune under one without")
    fold = plan.folds[None]
    if not len(fold.split.visible.valid):
        raise DataError(f"protocol '{plan.protocol.name}' leaves no validation part to tune by: choose another one")
    rules = plan.protocol.at_validation().model_copy(update={"name": f"validation of {plan.protocol.name}"})
    split = Split(fold.split.visible, Validation(fold.split.visible))
    fingerprint = content_hash([fold.split.fingerprint, "validation"])
    cells = [
        Cell.model_validate({**cell.model_dump(), "protocol": rules, "fingerprint": fingerprint}) for cell in plan.cells
    ]
    return replace(plan, cells=cells, folds={None: Fold(split, fold.groups)}, protocol=rules)


def _begin(plan: Plan, model: Description, metric: str, seed: int, space: Space) -> Study:
    cell, split = plan.cells[0], plan.folds[None].split
    return Study(
        model=model.model,
        preset=model.preset,
        dataset=cell.dataset,
        fingerprint=split.fingerprint,
        metric=metric,
        seed=seed,
        space=space,
        code=cell.code,
    )


def _judged(number: int, options: dict[str, Any], metric: str, result: Result) -> Trial:
    finished = result.status == "finished"
    return Trial(
        number=number,
        options=options,
        score=result.groups["all"].metrics[metric] if finished else None,
        reason=result.reason,
        seconds=result.phases["fit"].seconds if "fit" in result.phases else 0.0,
        cell=result.cell_id,
    )
