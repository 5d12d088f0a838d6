"""From a spec to cells: check everything that a user can get wrong, and prepare the data, before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from bench.data.dataset import Dataset
from bench.data.protocol import Protocol
from bench.data.raw import locate_local
from bench.errors import ConfigError, UnknownName
from bench.files import content_hash, file_hash
from bench.messages.cell import Ablation, Cell
from bench.messages.description import Description, ModelRequest
from bench.messages.spec import LIST_LENGTH, RunSpec
from bench.messages.study import TUNED, tuned_on
from bench.plugins import find_model
from bench.runs import environment
from bench.runs.ablate import chosen, variants
from bench.runs.describe import describe
from bench.runs.hashes import code_hash
from bench.runs.job import Job, Limits, existing_path
from bench.runs.studies import find_study, find_study_elsewhere
from bench.runs.task import Fold, Task, find_rules, make_task

_MOST_FILES = 10_000
"""In a folder that a config names; all of them are read, since they decide the lists."""


@dataclass(frozen=True)
class Plan:
    """The cells of a run and what they share."""

    spec: RunSpec
    cells: list[Cell]
    folds: Mapping[int | None, Fold]
    """By :attr:`Cell.fold`."""
    dataset: Dataset
    protocol: Protocol
    limits: Limits
    distributed: frozenset[str] = frozenset()
    """Models that several processes can train."""

    def limits_of(self, cell: Cell) -> Limits:
        """What the worker of a cell may use."""
        processes = self.spec.processes if cell.model in self.distributed else 1
        return replace(self.limits, processes=processes)

    @property
    def raw_checksums(self) -> dict[str, str]:
        """SHA-256 of the raw files by name."""
        found: dict[str, str] = self.dataset.facts["source"]["checksums"]
        return found

    def job(self, cell: Cell, root: Path, work: Path, model: Path | None = None) -> Job:
        """A worker for ``cell`` on the split of its fold."""
        visible = self.folds[cell.fold].split.visible
        return Job(cell, find_model(cell.model).interpreter, root, work, visible, self.limits_of(cell), model)


def make_plan(spec: RunSpec, results: Path | None = None) -> Plan:
    """The plan of ``spec``, its data prepared. ``results`` is where studies of ``MODEL@tuned`` lie.

    Raises
    ------
    BenchError
        For anything that the caller can fix, by kind.
    """
    _, rules = find_rules(spec)
    wanted = _requests(spec)
    described = _described(wanted, rules)
    task = make_task(spec)
    card, folds = task.card, task.folds
    models = []
    for request, model in zip(wanted, described, strict=True):
        if tuned_on(request.preset) is None:
            models.append(_Model(model, list(folds)))
        else:
            models += _as_tuned(request, task, results or Path())
    raw_files = locate_local(card, spec.raw_dir)
    limits = Limits(
        timeout=spec.timeout,
        memory=int(spec.memory_limit * 2**30) if spec.memory_limit else None,
        threads=spec.threads or max(1, environment.cores() // spec.jobs),
        confine=spec.confine,
        closed=tuple(path.resolve() for path in raw_files.paths.values()) if raw_files else (),
    )
    return _with_cells(Plan(spec, [], folds, task.dataset, rules, limits), models)


def same_data(plan: Plan, spec: RunSpec) -> Plan:
    """The plan of another spec, which differs in models and their options alone: the data are not prepared again."""
    described = _described(_requests(spec), plan.protocol)
    return _with_cells(replace(plan, spec=spec), [_Model(model, list(plan.folds)) for model in described])


class _Model(NamedTuple):
    """A model with one config."""

    description: Description
    folds: list[int | None]
    """Where it has this config: one that was tuned in each split may have another in each."""


def _with_cells(plan: Plan, models: Sequence[_Model]) -> Plan:
    described = [model.description for model in models]
    distributed = frozenset(model.model for model in described if model.distributed)
    if plan.spec.processes > 1 and not distributed:
        names = ", ".join(sorted({model.model for model in described}))
        raise ConfigError(
            f"{names}: one process trains it, so leave --processes out ('bench models info' says who can)"
        )
    ablations = chosen(described, plan.spec.ablate)
    cells = [
        cell
        for model, names in zip(models, ablations, strict=True)
        for ablation, config in variants(model.description, names)
        for cell in _cells(plan, model, ablation, config)
    ]
    return replace(plan, cells=list({cell.id: cell for cell in cells}.values()), distributed=distributed)


def _requests(spec: RunSpec) -> list[ModelRequest]:
    """The models that are asked for; config values that are relative paths are made absolute, as workers need them."""
    requests = [ModelRequest.parse(name) for name in spec.models]
    if strangers := set(spec.options) - {request.model for request in requests}:
        raise ConfigError(f"options are given for {', '.join(sorted(strangers))}, which --models does not name")
    options = {model: {k: _absolute(v) for k, v in changes.items()} for model, changes in spec.options.items()}
    return [r.model_copy(update={"options": options.get(r.model, {})}) for r in requests]


def _as_tuned(request: ModelRequest, task: Task, results: Path) -> Iterator[_Model]:
    """The model with the best config of its study, or, of several splits, of its study in each of them.

    That config is whole, so that a default that was changed since is not taken; the options of the run come on top.
    Where there is no validation that stops a training, it takes as many epochs as were best in the study.
    """
    name, rules, elsewhere = f"{request.model}@{request.preset}", task.protocol, tuned_on(request.preset)
    if elsewhere:
        study = find_study_elsewhere(results, elsewhere, request.model, rules.name)
        if study.dataset == task.card.name:
            raise ConfigError(
                f"{name}: trials on these data under another protocol have seen what is tested here: tune under this "
                f"one, and run {request.model}@{TUNED}"
            )
        studies = [(study, list(task.folds))]
    else:
        if len(task.folds) > 1 and request.options:
            raise ConfigError(f"{name} has a config of its own in each split: it takes no --set here")
        studies = [
            (find_study([results], task.card.name, request.model, task.fingerprint, fold), [fold])
            for fold in task.folds
        ]
    asked = []
    for study, folds in studies:
        best = study.found
        if not len(task.folds[folds[0]].split.visible.valid) and study.best and study.best.epochs:
            best["epochs"] = study.best.epochs
        asked.append(ModelRequest(model=request.model, preset=study.preset, options={**best, **request.options}))
    try:
        described = describe(asked)
    except (ConfigError, UnknownName) as error:
        raise ConfigError(f"{name} with the config of its study, which 'bench tune' makes anew: {error}") from error
    for found, (_, folds) in zip(described, studies, strict=True):
        yield _Model(found.model_copy(update={"preset": request.preset}), folds)


def _described(requests: list[ModelRequest], rules: Protocol) -> list[Description]:
    """Tuned ones as they are by default, to begin with."""
    plain = [r.model_copy(update={"preset": None}) if tuned_on(r.preset) is not None else r for r in requests]
    described = describe(plain)
    unfit = [model.model for model in described if not model.fold_in]
    if rules.split.of_new_users and unfit:
        raise ConfigError(
            f"protocol '{rules.name}' tests users that are not in train, and {', '.join(unfit)} know users by id: "
            "leave them out or choose another --protocol"
        )
    return described


def _absolute(value: Any) -> Any:
    """A text with a path separator that is an existing path from here, as an absolute one; anything else as it is."""
    path = existing_path(value)
    return value if path is None else str(path)


def _cells(plan: Plan, of: _Model, ablation: Ablation | None, config: dict[str, Any]) -> Iterator[Cell]:
    """A model with one config, for each of its folds and each seed."""
    model, spec, folds = of.description, plan.spec, plan.folds
    usual = max(LIST_LENGTH, *spec.ks)
    length = min(usual, model.longest_list or usual)
    if length < min(spec.ks):
        lists = f"lists of {length} items of {model.model}"
        raise ConfigError(f"{lists} cannot be measured at {min(spec.ks)}: give a smaller --k")
    code, device = code_hash(find_model(model.model)), environment.device(spec.device)
    files = {str(path): _content(path) for value in config.values() if (path := existing_path(value))}
    for fold, seed in itertools.product(of.folds, [0] if model.deterministic else spec.seeds):
        yield Cell(
            model=model.model,
            preset=model.preset,
            config=config,
            deterministic=model.deterministic,
            code=code,
            dataset=plan.dataset.facts["dataset"],
            content=folds[fold].split.visible.content,
            files=files,
            protocol=plan.protocol,
            fingerprint=folds[fold].split.fingerprint,
            fold=fold,
            seed=seed,
            device=device,
            stopping=spec.stopping,
            time_budget=spec.time_budget,
            list_length=length,
            ablation=ablation,
        )


def _content(path: Path) -> str:
    """What a file, or a folder of files such as a backbone's, holds: SHA-256 of names and bytes."""
    if path.is_file():
        return file_hash(path)
    if len(list(itertools.islice(path.rglob("*"), _MOST_FILES + 1))) > _MOST_FILES:
        raise ConfigError(f"the config names {path}, a folder of more than {_MOST_FILES:,} files: name a smaller one")
    return content_hash({str(f.relative_to(path)): file_hash(f) for f in sorted(path.rglob("*")) if f.is_file()})
