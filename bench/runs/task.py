"""What lists are measured on: a data set, split by a protocol, with its groups of users."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bench.data.catalog import Card
from bench.data.catalog import card as find_card
from bench.data.dataset import Dataset
from bench.data.groups import Group, case_groups, find_groups
from bench.data.hidden import Split
from bench.data.prepare import prepare
from bench.data.protocol import Protocol
from bench.data.protocol import protocol as find_protocol
from bench.data.split import split
from bench.messages.spec import RunSpec

_log = logging.getLogger("bench")


@dataclass(frozen=True)
class Fold:
    """One split of the data, and what its cells are measured by."""

    split: Split
    groups: Sequence[Group]


@dataclass(frozen=True)
class Task:
    """A data set under a protocol."""

    card: Card
    dataset: Dataset
    protocol: Protocol
    folds: Mapping[int | None, Fold]
    """By :attr:`bench.messages.cell.Cell.fold`."""

    @property
    def fingerprint(self) -> str:
        """Of all its folds; see :attr:`bench.data.hidden.Split.fingerprint`."""
        return next(iter(self.folds.values())).split.fingerprint


def find_rules(spec: RunSpec) -> tuple[Card, Protocol]:
    """The card and the protocol that ``spec`` names, before any data is read.

    Raises
    ------
    BenchError
        If there is no such data set or protocol.
    """
    card = find_card(spec.dataset)
    changes = {name: getattr(spec, name) for name in ("history", "exclude", "candidates", "fit")}
    return card, find_protocol(spec.protocol or card.protocol, spec.split_seed, **changes)


def make_task(spec: RunSpec) -> Task:
    """The task of ``spec``, its data prepared and split.

    Raises
    ------
    BenchError
        For anything that the caller can fix, by kind.
    """
    card, rules = find_rules(spec)
    data = prepare(card, spec.raw_dir, spec.strict)
    user_ids = data.user_texts()["id"].tolist()
    folds = {}
    for fold in rules.folds:
        parts = split(data, rules, fold)
        if not len(parts.visible.valid):
            _log.warning("warning: protocol '%s' leaves no validation item: no model will stop early", rules.name)
        train = parts.visible.union("train")
        cases = partial(_cases, parts, rules)
        folds[fold] = Fold(parts, find_groups(train, card.long_tail, user_ids, spec.groups, cases))
    return Task(card, data, rules, folds)


def _cases(parts: Split, rules: Protocol) -> list[Group]:
    return case_groups(parts.visible.union("train"), parts.visible.history(rules), parts.hidden.test)
