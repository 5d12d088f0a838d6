"""Look for the best config of a model by validation: TPE over the space that its config declares, nothing of test.

A trial is a cell on a split whose validation part is measured in place of test, in a store of its own, ``tuning/`` of
the results folder. What the sampler asks for is a function of its seed and of the scores before, so that a study that
was killed is gone through again from its cells, and goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.data.hidden import Split, Validation
from bench.data.protocol import Protocol
from bench.data.split import split
from bench.data.split_rules import CarvedSplit, LeaveOutSplit, PredefinedSplit, RatioSplit, TemporalSplit
from bench.errors import ConfigError, DataError, one_line
from bench.files import content_hash, write_text
from bench.messages.cell import Cell, Floor, Result, ValidationRecord, pruned_at
from bench.messages.description import ModelRequest
from bench.messages.spec import RunSpec
from bench.messages.study import Study, Trial
from bench.runs.describe import describe
from bench.runs.execute import Watch, run_cells
from bench.runs.plan import Plan, make_plan, same_data
from bench.runs.pruning import floors
from bench.runs.sampler import Sampler, search_space
from bench.runs.store import Store
from bench.runs.studies import FOLDER, read_study, study_path
from bench.runs.task import Fold


def tune(
    spec: RunSpec,
    trials: int,
    seed: int,
    results: Path,
    watch: Watch,
    tell: Callable[[Study, Trial], None],
    prune: bool = True,
    track: Sequence[str] = (),
    fold: int | None = None,
) -> Study:
    """Tune the one model of ``spec``, in one ``fold`` of a protocol of several; each trial is written and told.

    A study that has more trials, and begins with these, stays, and is returned; unless a plan asks for the shorter one.

    The first trial is the preset with the options of the spec, which are not tuned. A model without a space, or one
    that does not depend on what is left of it, has that trial alone. ``spec.jobs`` trials are asked for together and
    run at a time, by all processes that tune the same in one results folder: a cell that another one runs is waited
    for. With ``prune``, a training that falls behind the median of the trials before ends there. ``track`` names
    trackers, which are told of all trials.

    Raises
    ------
    ConfigError
        If the protocol has nothing of train that could be put aside for validation.
    DataError
        If there is nothing to validate on.
    """
    request = ModelRequest.parse(spec.models[0])
    fixed = spec.options.get(request.model, {})
    [described] = describe([request.model_copy(update={"options": fixed})])
    space = {name: part for name, part in search_space(described).items() if name not in fixed}
    metric, ks = spec.stopping.name, sorted({*spec.ks, spec.stopping.k})
    common = {"seeds": [1], "ks": ks, "groups": [], "save_models": False}
    whole = make_plan(spec.model_copy(update=common))
    plan, store = at_validation(whole, fold), Store(results / FOLDER)
    study = Study(
        model=described.model,
        preset=described.preset,
        dataset=plan.cells[0].dataset,
        protocol=whole.protocol.name,
        fingerprint=whole.cells[0].fingerprint,
        fold=fold,
        metric=metric,
        seed=seed,
        at_once=spec.jobs,
        carved=plan.protocol.split.describe() if isinstance(plan.protocol.split, CarvedSplit) else "",
        space=space,
        code=plan.cells[0].code,
        config=described.config,
        plan=spec.plan,
    )
    path = study_path(results, study.dataset, study.model, study.fingerprint, fold)
    kept = read_study(path)
    sampler, before = Sampler(described, space, seed, together=spec.jobs > 1), list[list[ValidationRecord]]()
    wanted = trials if space else 1
    for first in range(0, wanted, spec.jobs):
        numbers = range(first, min(first + spec.jobs, wanted))
        given_up_below = floors(before) if prune else []
        asked = {number: {**fixed, **sampler.ask(number)} for number in numbers}
        found = {
            number: _cell(whole, fold, request.model, options, given_up_below) for number, options in asked.items()
        }
        if isinstance(refused := found.get(0), ConfigError):
            raise refused
        cells = [cell for cell in found.values() if isinstance(cell, Cell)]
        done = dict(
            zip((cell.id for cell in cells), run_cells(replace(plan, cells=cells), store, watch, track), strict=True)
        )
        for number, cell in found.items():
            if isinstance(cell, Cell):
                result = done[cell.id]
                trial = _judged(number, asked[number], metric, result)
                before += [] if trial.pruned or trial.score is None else [result.validations]  # failed: made again
            else:
                trial = Trial(
                    number=number, options=asked[number], score=None, reason=one_line(cell), seconds=0, cell=""
                )
            sampler.tell(number, trial.score)
            study = study.model_copy(update={"trials": [*study.trials, trial]})
            if kept is None or not study.begins(kept):  # a study that is gone through again loses nothing on the way
                write_text(path, study.model_dump_json(indent=2))
            tell(study, trial)
    if kept is not None and study.begins(kept):
        if study.plan in ("", kept.plan):
            return kept
        write_text(path, study.model_dump_json(indent=2))
    return study


def _cell(
    whole: Plan, fold: int | None, model: str, options: dict[str, Any], floors: list[Floor]
) -> Cell | ConfigError:
    """The trial of ``options``, or why it cannot be one: rules over several fields are not those of a space."""
    try:
        plan = at_validation(same_data(whole, whole.spec.model_copy(update={"options": {model: options}})), fold)
    except ConfigError as error:
        return error
    [cell] = plan.cells
    if cell.list_length < cell.stopping.k:
        made = f"{model} makes lists of {cell.list_length}, which {cell.stopping.name} cannot judge"
        return ConfigError(f"{made}: give it options that make longer ones")
    return Cell.model_validate({**cell.model_dump(), "floors": floors})


def at_validation(plan: Plan, number: int | None = None) -> Plan:
    """The cells of one of its splits, tested on the validation part by the rules of validation.

    A split that leaves none gets one of a tenth of train; what is tuned on it is trained on all of train in the end.

    Raises
    ------
    ConfigError, DataError
        See :func:`tune`.
    """
    fold, rules, parts = plan.folds[number], plan.protocol, plan.folds[number].split
    if rules.fit != "train":  # of the last fit alone: the trials are those of the protocol without it
        rules = rules.model_copy(update={"fit": "train"})
        parts = split(plan.dataset, rules, number)
    visible, fingerprint = parts.visible, parts.fingerprint
    if not len(visible.valid):
        rules = _carved(rules)
        visible = split(plan.dataset, rules, number).visible
    if not len(visible.valid):
        raise DataError(f"protocol '{plan.protocol.name}' leaves no train part that one for validation could be of")
    rules = rules.at_validation().model_copy(update={"name": f"validation of {plan.protocol.name}"})
    update = {
        "protocol": rules,
        "content": visible.content,
        "fingerprint": content_hash([fingerprint, "validation"]),
    }
    cells = [Cell.model_validate({**cell.model_dump(), **update}) for cell in plan.cells if cell.fold == number]
    folds: dict[int | None, Fold] = {number: Fold(Split(visible, Validation(visible)), fold.groups)}
    return replace(plan, cells=cells, folds=folds, protocol=rules)


def _carved(rules: Protocol) -> Protocol:
    if not isinstance(rules.split, LeaveOutSplit | TemporalSplit | PredefinedSplit | RatioSplit):
        raise ConfigError(f"protocol '{rules.name}' leaves no validation part to tune by: choose another one")
    return rules.model_copy(update={"split": CarvedSplit(of=rules.split)})


def _judged(number: int, options: dict[str, Any], metric: str, result: Result) -> Trial:
    finished = result.status == "finished"
    return Trial(
        number=number,
        options=options,
        score=result.groups["all"].metrics[metric] if finished else None,
        reason=result.reason,
        seconds=result.phases["fit"].seconds if "fit" in result.phases else 0.0,
        epochs=_best_epoch(result),
        pruned=pruned_at(result.cell.floors, result.validations),
        at_limit=result.stopped_by_budget,
        cell=result.cell_id,
    )


def _best_epoch(result: Result) -> int | None:
    """Of a model that trains in one stage of ``epochs``; None for others."""
    stages = {record.stage for record in result.validations}
    if "epochs" not in result.cell.config or len(stages) != 1:
        return None
    return max(result.validations, key=lambda record: record.score).epoch
