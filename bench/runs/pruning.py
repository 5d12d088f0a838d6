"""When to give up a trial: the rule of Optuna's ``MedianPruner``, made a part of what a worker is asked.

A worker gets, by epoch, the median of the scores that earlier trials had there, and ends its training when its own best
is below. So a trial is as reproducible as any cell. One that was given up is still measured, as it was when best, but
it cannot be the best of a study.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.messages.cell import Floor, ValidationRecord

_LEAST = 5
"""Trials that have to have reached an epoch, and were not given up, before others are held against them."""
_WARM_UP = 5
"""Validations at the beginning of a training that give nothing up: rates that rise, and slow starters."""


def floors(trainings: Sequence[Sequence[ValidationRecord]]) -> list[Floor]:
    """For the next trial, from the validations of earlier ones that were not given up.

    They are of the stage that the first training ended with, such as the second of two.
    """
    trainings = [records for records in trainings if records]
    found: dict[int, list[float]] = {}
    for records in trainings:
        stage = [record for record in records if record.stage == trainings[0][-1].stage]
        for record in stage[_WARM_UP:]:
            found.setdefault(record.epoch, []).append(record.score)
    return [
        Floor(stage=trainings[0][-1].stage, epoch=epoch, score=statistics.median(scores))
        for epoch, scores in sorted(found.items())
        if len(scores) >= _LEAST
    ]
