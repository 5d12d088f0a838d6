"""Where studies lie, and the config that one of them found: ``MODEL@tuned``, or ``MODEL@tuned:DATASET`` of others."""

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
"""The preset of a tuned model; with ``:DATASET`` or ``:DATASET-FINGERPRINT`` of one that was tuned on other data."""
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


def tuned_on(preset: str | None) -> str | None:
    """The other data that a preset names, empty for those at hand; None if it is none of a tuned model."""
    name, colon, where = (preset or "").partition(":")
    return where if name == TUNED and bool(colon) == bool(where) else None


def find_study_elsewhere(results: Path, where: str, model: str, protocol: str) -> Study:
    """The study of a model on other data: ``where`` is their name, or DATASET-FINGERPRINT as in the names of files.

    Of studies under several protocols, that under one of this name.

    Raises
    ------
    ConfigError
        If there is none, or more than one.
    ResultsError
        If a file is damaged.
    """
    studies = map(read_study, sorted((results / FOLDER).glob("*.json")))
    found = [s for s in studies if s and s.model == model and s.best and where in (s.dataset, _name(s))]
    found = [study for study in found if study.protocol == protocol] or found
    if len(found) == 1:
        return found[0]
    ways = " or ".join(f"{model}@{TUNED}:{_name(study)}" for study in found)
    if found:
        raise ConfigError(f"{model} was tuned under several protocols on {plain(where)}: write {ways}")
    raise ConfigError(
        f"{model} was not tuned on '{plain(where)}': no study in {results / FOLDER}, where 'bench tune' leaves them"
    )


def _name(study: Study) -> str:
    return f"{study.dataset}-{study.fingerprint[:8]}"


def study_of(results: Sequence[Path], cell: Cell) -> Study | None:
    """The study that a tuned cell has its config from; None if it is gone, or another one has taken its place.

    Raises
    ------
    ResultsError
        If its file is damaged.
    """
    elsewhere = tuned_on(cell.preset)
    for root in results if elsewhere is not None else ():
        try:
            if elsewhere:
                study = find_study_elsewhere(root, elsewhere, cell.model, cell.protocol.name)
            else:
                study = find_study([root], cell.dataset, cell.model, cell.fingerprint)
        except ConfigError:
            continue
        return study if study.gave(cell.config) else None
    return None


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
