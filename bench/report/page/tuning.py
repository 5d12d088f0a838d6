"""What tuning brought, for the page."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np

from bench.errors import BenchError, ConfigError, ResultsError, plain
from bench.messages.study import TUNED, Study
from bench.report.page.document import TuningPart
from bench.report.row import Row
from bench.report.table import Table
from bench.runs.store import Store
from bench.runs.studies import find_study, studies_of


def untuned(table: Table, row: Row, store: Store) -> Row | None:
    """The row that the study of a tuned row began with; None if there is none, or more than one."""
    if row.failed:
        return None
    try:
        studies = studies_of(store.roots, row.cells)
    except BenchError:  # the page says elsewhere that it cannot be read
        return None
    return table.only(studies[0].began_with) if studies else None


def tuning(table: Table, store: Store) -> tuple[list[TuningPart], list[str]]:
    """The studies of the table's models in all folders, and a line for each that cannot be read."""
    found, lines = [], []
    models = dict.fromkeys(row.first.cell.model for row in table.rows)
    for root, model, fold in itertools.product(store.roots, models, table.cell.protocol.folds):
        try:
            found.append(_part(table, find_study([root], table.dataset, model, table.cell.fingerprint, fold)))
        except ConfigError:  # it was not tuned there
            continue
        except ResultsError as error:
            lines.append(f"left out: {error}")
    return found, lines


def _part(table: Table, study: Study) -> TuningPart:
    scores = [math.nan if trial.score is None else trial.score for trial in study.trials]
    before = table.only(study.began_with)
    # Of several splits a row has the mean, and a study is of one.
    after = table.only(lambda cell: (cell.model, cell.preset, cell.fold) == (study.model, TUNED, None))
    tested = None
    if before and after and study.gave(after.first.cell.config) and study.metric in table.metrics:
        tested = (before.mean("all", study.metric), after.mean("all", study.metric))
    options = study.best.options if study.best else {}
    return TuningPart(
        model=plain(study.title),
        preset=plain(study.preset),
        metric=study.metric,
        scores=scores,
        best=[float(score) for score in np.fmax.accumulate(scores)],
        seconds=study.seconds,
        options={plain(key): plain(json.dumps(value, ensure_ascii=False)) for key, value in options.items()},
        test=tested,
    )
