"""Trials that are given up: by the rule of Optuna's ``MedianPruner``."""

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from bench.messages.cell import Floor, ValidationRecord, pruned_at
from bench.runs.pruning import floors


def records(scores, stage=""):
    best = np.maximum.accumulate(scores)
    return [
        ValidationRecord(stage=stage, epoch=epoch, score=score, improved=bool(score == best[epoch - 1]))
        for epoch, score in enumerate(scores, 1)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_same_trials_are_given_up_at_the_same_epochs_as_by_optuna(seed):
    random = np.random.default_rng(seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=6, n_min_trials=5)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    whole, given_up = [], 0
    for _ in range(20):
        curve = random.uniform(0.1, 0.3) * (1 - np.exp(-np.arange(1, random.integers(8, 25)) / random.uniform(1, 8)))
        curve = records((curve + random.normal(0, 0.01, len(curve))).tolist())
        here = pruned_at(floors(whole), curve)
        trial, theirs = study.ask(), None
        for record in curve:
            trial.report(record.score, record.epoch)
            if trial.should_prune():
                theirs = record.epoch
                break
        study.tell(trial, curve[-1].score if theirs is None else None, TrialState.PRUNED if theirs else None)
        assert here == theirs
        whole += [] if here else [curve]
        given_up += here is not None
    assert given_up > 0


def test_stages_are_held_against_their_own():
    """The stage that counts is the one that the preset ended with; what a training did before is not judged."""
    two = [[*records([0.5] * 8, "first"), *records([0.2] * 8, "second")] for _ in range(5)]
    found = floors(two)
    assert {floor.stage for floor in found} == {"second"}
    assert [floor.epoch for floor in found] == [6, 7, 8]
    assert pruned_at(found, records([0.1] * 8, "first")) is None
    assert pruned_at(found, records([0.1] * 8, "second")) == 6
    assert pruned_at(found, records([0.3, *[0.1] * 7], "second")) is None


def test_models_that_are_not_validated_in_training_are_never_given_up():
    assert floors([[], [], [], [], [], []]) == []
    assert pruned_at([Floor(stage="", epoch=1, score=1.0)], []) is None
