"""From a spec to cells: check everything that a user can get wrong, and prepare the data, before anything runs."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.code import code_hash
from bench.data.catalog import card as find_card
from bench.data.dataset import Dataset
from bench.data.groups import Group, find_groups
from bench.data.hidden import Split
from bench.data.prepare import prepare
from bench.data.protocol import Protocol
from bench.data.protocol import protocol as find_protocol
from bench.data.split import split
from bench.data.split_rules import HeldOutSplit
from bench.errors import ConfigError
from bench.messages.cell import Cell
from bench.messages.description import ModelRequest
from bench.messages.spec import RunSpec
from bench.plugins import find_model
from bench.runs import environment
from bench.runs.ablate import chosen, variants
from bench.runs.describe import describe
from bench.runs.job import Limits

LIST_LENGTH = 100
"""Shortest lists that are asked for, so that all usual cut-offs share one cell."""

_log = logging.getLogger("bench")


@dataclass(frozen=True)
class Fold:
    """One split of the data, and what its cells are measured by."""

    split: Split
    groups: Sequence[Group]


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

    @property
    def raw_checksums(self) -> dict[str, str]:
        """SHA-256 of the raw files by name."""
        found: dict[str, str] = self.dataset.facts["source"]["checksums"]
        return found


def make_plan(spec: RunSpec) -> Plan:
    """The plan of ``spec``, its data prepared.

    Raises
    ------
    BenchError
        For anything that the caller can fix, by kind.
    """
    requests = [ModelRequest.parse(name) for name in spec.models]
    if strangers := set(spec.options) - {request.model for request in requests}:
        raise ConfigError(f"options are given for {', '.join(sorted(strangers))}, which --models does not name")
    card = find_card(spec.dataset)
    changes = {"history": spec.history, "exclude": spec.exclude, "candidates": spec.candidates}
    rules = find_protocol(spec.protocol or card.protocol, spec.split_seed, **changes)
    described = describe([r.model_copy(update={"options": spec.options.get(r.model, {})}) for r in requests])
    if isinstance(rules.split, HeldOutSplit) and (unfit := [model.model for model in described if not model.fold_in]):
        raise ConfigError(
            f"protocol '{rules.name}' tests users that are not in train, and {', '.join(unfit)} know users by id: leave "
            "them out or choose another --protocol"
        )
    ablations = chosen(described, spec.ablate)
    data = prepare(card, spec.raw_dir, spec.strict)
    user_ids = data.user_texts()["id"].tolist()
    folds = {}
    for fold in rules.folds:
        parts = split(data, rules, fold)
        if not len(parts.visible.valid):
            _log.warning("warning: protocol '%s' leaves no validation item: no model will stop early", rules.name)
        folds[fold] = Fold(parts, find_groups(parts.visible.union("train"), card.long_tail, user_ids, spec.groups))
    shared: dict[str, Any] = {
        "dataset": card.name,
        "texts_hash": data.facts["texts_hash"],
        "protocol": rules,
        "device": environment.device(spec.device),
        "time_budget": spec.time_budget,
        "stopping": spec.stopping,
    }
    length = max(LIST_LENGTH, *spec.ks)
    cells = {}
    for model, names in zip(described, ablations, strict=True):
        own: dict[str, Any] = {"model": model.model, "preset": model.preset, "deterministic": model.deterministic}
        own |= {"code": code_hash(find_model(model.model)), "list_length": min(length, model.longest_list or length)}
        runs = itertools.product(variants(model, names), folds, [0] if model.deterministic else spec.seeds)
        for (ablation, config), fold, seed in runs:
            rest = {"config": config, "ablation": ablation, "fold": fold, "seed": seed}
            cell = Cell(**shared, **own, **rest, fingerprint=folds[fold].split.fingerprint)
            cells[cell.id] = cell
    limits = Limits(
        timeout=spec.timeout,
        memory=int(spec.memory_limit * 2**30) if spec.memory_limit else None,
        threads=spec.threads or max(1, environment.cores() // spec.jobs),
        confine=spec.confine,
    )
    return Plan(spec, list(cells.values()), folds, data, rules, limits)
