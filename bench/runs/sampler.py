"""What a trial is to try: TPE over the space that a config declares."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import SQLAlchemyError

from bench.errors import ConfigError, PluginError, one_line, plain
from bench.messages.description import Description
from bench.messages.study import Study, Trial

_RANDOM = 8
"""Trials that the sampler draws without having learnt, the preset among them."""

Space = dict[str, dict[str, Any]]


class Sampler:
    """Optuna's TPE over a space, by the numbers of trials; what it asks for depends on the scores before alone."""

    def __init__(self, model: Description, space: Space, seed: int, together: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.seed, self.together = seed, together
        self.distributions = {name: _distribution(part) for name, part in space.items()}
        self.study = optuna.create_study(direction="maximize")
        preset = {name: model.config[name] for name in space}
        self.preset_counts = all(value is not None or "choices" in space[name] for name, value in preset.items())
        """Whether it is a point of the space: one with a None where numbers are looked for is none."""
        if self.preset_counts:
            self.study.enqueue_trial(preset)
        self.asked: dict[int, optuna.Trial] = {}

    def ask(self, number: int) -> dict[str, Any]:
        """What the next trial changes of the config; nothing for the first one, which is the preset."""
        self.study.sampler = optuna.samplers.TPESampler(
            seed=_seed(self.seed, number), n_startup_trials=_RANDOM, constant_liar=self.together
        )
        self.asked[number] = self.study.ask(self.distributions)
        return self.asked[number].params if number else {}

    def tell(self, number: int, score: float | None) -> None:
        """The score of a config that was asked for; None if it failed."""
        if score is None or not (number or self.preset_counts):
            self.study.tell(self.asked[number], state=optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(self.asked[number], score)


def search_space(model: Description) -> Space:
    """Where to look, by field: ``low``, ``high`` and ``log``, or ``choices``, and its ``type``.

    The value of the preset is made a part of it. A field that has no effect in the preset is left out.

    Raises
    ------
    PluginError
        If it cannot be: a space by factors does not reach 0.
    """
    found: Space = {}
    for name, field in model.config_schema["properties"].items():
        if search := field.get("search"):
            value, part = model.config[name], {key: kept for key, kept in search.items() if kept is not None}
            other, values = part.pop("only_if", ("", ()))
            if other and model.config[other] not in values:
                continue
            if "choices" in part:
                part["choices"] = [*part["choices"], *([] if value in part["choices"] else [value])]
            else:
                part["type"] = _type(field)
                if value is not None:  # or the preset is a trial without a place in the space
                    part["low"], part["high"] = min(part["low"], value), max(part["high"], value)
                if part["type"] == "integer":
                    part["low"], part["high"] = math.ceil(part["low"]), math.floor(part["high"])
                if part["log"] and part["low"] <= 0:
                    raise PluginError(f"{model.model}: {name} is tuned by factors, and {part['low']} is none")
            found[name] = part
    return found


def _type(field: dict[str, Any]) -> str:
    """``integer`` or ``number``, of a field that may be None too."""
    kinds = [field.get("type"), *(option.get("type") for option in field.get("anyOf", ()))]
    return "integer" if "integer" in kinds and "number" not in kinds else "number"


def _distribution(part: dict[str, Any]) -> optuna.distributions.BaseDistribution:
    if "choices" in part:
        return optuna.distributions.CategoricalDistribution(part["choices"])
    low, high, log = part["low"], part["high"], part["log"]
    if part["type"] == "integer":
        return optuna.distributions.IntDistribution(low, high, log=log)
    return optuna.distributions.FloatDistribution(low, high, log=log)


def _state(trial: Trial) -> optuna.trial.TrialState:
    if trial.score is None:
        return optuna.trial.TrialState.FAIL
    return optuna.trial.TrialState.COMPLETE if trial.pruned is None else optuna.trial.TrialState.PRUNED


def _seed(seed: int, number: int) -> int:
    """Of the sampler for one trial, so that it does not matter how the study came to it."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")


def check_optuna(place: str) -> None:
    """Raise ``ConfigError`` if studies cannot be read there, before any is made."""
    try:
        optuna.get_all_study_names(_storage(place))
    except _OF_STORAGE as error:
        raise _unusable(place, error) from error


def _storage(place: str) -> Any:
    return place if "://" in place else JournalStorage(JournalFileBackend(place))


def _unusable(place: str, error: Exception) -> ConfigError:
    return ConfigError(f"--optuna {plain(place)}: {plain(one_line(error), 200)}")


_OF_STORAGE = (OSError, ValueError, ImportError, optuna.exceptions.OptunaError, SQLAlchemyError)


def copy_to_optuna(study: Study, place: str) -> None:
    """Write a study as one of Optuna's, for its dashboard, in the place of one of the same name.

    ``place`` is a path of a journal file, or the URL of a database such as ``sqlite:///studies.db``.

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    name = f"{study.dataset}-{study.fingerprint[:8]}-{study.title}"
    try:
        storage = _storage(place)
        if name in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=name, storage=storage)
        copy = optuna.create_study(storage=storage, study_name=name, direction="maximize")
    except _OF_STORAGE as error:
        raise _unusable(place, error) from error
    copy.set_user_attr("metric", study.metric)
    distributions = {name: _distribution(part) for name, part in study.space.items()}
    for trial in study.trials:
        options = {name: trial.options[name] for name in study.space if name in trial.options}
        copy.add_trial(
            optuna.trial.create_trial(
                state=_state(trial),
                value=trial.score,
                params=options,
                distributions={name: distributions[name] for name in options},
                user_attrs={"cell": trial.cell, "seconds": trial.seconds, "reason": trial.reason or ""},
            )
        )
