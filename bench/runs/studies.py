"""Where studies lie, and the config that one of them found: ``MODEL@tuned``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from bench.data.protocol import Protocol
from bench.errors import ConfigError, ResultsError, plain
from bench.files import read_regular
from bench.messages.cell import Cell
from bench.messages.study import Study

TUNED = "tuned"
"""The preset of a tuned model."""
FOLDER = "tuning"
"""Below the results folder."""
_LARGEST = 2**24


def study_path(results: Path, dataset: str, model: str, fingerprint: str) -> Path:
    """Of the study of a model on a split."""
    name = re.sub(r"[^\w.]+", "-", model)
    return results / FOLDER / f"{dataset}-{fingerprint[:8]}-{name}.json"


def find_study(results: Sequence[Path], dataset: str, model: str, fingerprint: str) -> Study:
    """The study of a model on a split, which has a trial that did not fail, in the first of the folders that has one.

    Raises
    ------
    ConfigError
        If there is none.
    ResultsError
        If its file is damaged.
    """
    for root in results:
        study = read_study(study_path(root, dataset, model, fingerprint))
        if study is not None and study.best is not None and study.fingerprint == fingerprint:
            return study
    raise ConfigError(
        f"{model} was not tuned on these data under this protocol: "
        f"'bench tune --models {model} --dataset {dataset} …' with the same options does it"
    )


def study_of(results: Sequence[Path], cell: Cell) -> Study | None:
    """The study that a tuned cell has its config from; None if it is gone, or another one has taken its place.

    Raises
    ------
    ResultsError
        If its file is damaged.
    """
    try:
        study = find_study(results, cell.dataset, cell.model, cell.fingerprint)
    except ConfigError:
        return None
    return study if study.gave(cell.config) else None


def check_one_split(protocol: Protocol) -> None:
    """Refuse a protocol of several splits: what is tuned on one of them has seen what others test.

    Raises
    ------
    ConfigError
        If there are several.
    """
    if protocol.folds != [None]:
        raise ConfigError(f"protocol '{protocol.name}' has several splits: tune under one that has a single one")


def read_study(path: Path) -> Study | None:
    """The study of a file; None if there is none.

    Raises
    ------
    ResultsError
        If it is damaged.
    """
    try:
        return Study.model_validate_json(read_regular(path, _LARGEST))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ResultsError(f"{plain(str(path))} cannot be read: remove it, and tune again") from error
