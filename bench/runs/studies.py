"""Where studies lie, and the config that one of them found: ``MODEL@tuned``, or ``MODEL@tuned:DATASET`` of others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from bench.errors import ConfigError, ResultsError, plain
from bench.files import read_regular
from bench.messages.cell import Cell
from bench.messages.study import TUNED, Study, tuned_on

FOLDER = "tuning"
"""Below the results folder."""
_LARGEST = 2**24


def study_path(results: Path, dataset: str, model: str, fingerprint: str, fold: int | None = None) -> Path:
    """Of the study of a model on a split, the ``fold`` of a protocol that has several."""
    name = re.sub(r"[^\w.]+", "-", model) + ("" if fold is None else f"-fold{fold}")
    return results / FOLDER / f"{dataset}-{fingerprint[:8]}-{name}.json"


def find_study(results: Sequence[Path], dataset: str, model: str, fingerprint: str, fold: int | None = None) -> Study:
    """The study of a model on a split, which has a trial that did not fail, in the first of the folders that has one.

    Raises
    ------
    ConfigError
        If there is none.
    ResultsError
        If its file is damaged.
    """
    for root in results:
        study = read_study(study_path(root, dataset, model, fingerprint, fold))
        if study is not None and study.best is not None and (study.fingerprint, study.fold) == (fingerprint, fold):
            return study
    raise ConfigError(
        f"{model} was not tuned on these data under this protocol{'' if fold is None else f', fold {fold}'}: "
        f"'bench tune --models {model} --dataset {dataset} …' with the same options does it"
    )


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
    found = [s for s in studies if s and s.model == model and s.fold is None and s.best]
    found = [study for study in found if where in (study.dataset, _name(study))]
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
    """What tells it from studies of the model on other data."""
    return f"{study.dataset}-{study.fingerprint[:8]}"


def studies_of(results: Sequence[Path], cells: Sequence[Cell]) -> list[Study]:
    """The studies that the cells of a tuned row, one of each split, have their configs from.

    None if one is gone, or another one has taken its place.

    Raises
    ------
    ResultsError
        If a file is damaged.
    """
    found = [_study_of(results, cell) for cell in cells]
    whole = [study for study in found if study is not None]
    return list({study.fold: study for study in whole}.values()) if len(whole) == len(found) else []


def _study_of(results: Sequence[Path], cell: Cell) -> Study | None:
    elsewhere = tuned_on(cell.preset)
    for root in results if elsewhere is not None else ():
        try:
            if elsewhere:
                study = find_study_elsewhere(root, elsewhere, cell.model, cell.protocol.name)
            else:
                study = find_study([root], cell.dataset, cell.model, cell.fingerprint, cell.fold)
        except ConfigError:
            continue
        return study if study.gave(cell.config) else None
    return None


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
