"""A protocol: everything between a data set and a list of test cases that changes what a number means."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ValidationError

from bench.data.split_rules import (
    AnySplit,
    FoldSplit,
    HeldOutSplit,
    LeaveOutSplit,
    PredefinedSplit,
    RatioSplit,
    RepeatedSplit,
    TemporalSplit,
)
from bench.errors import ConfigError, UnknownName
from bench.strict import Strict

Parts = Literal["train", "train+valid"]
Exclusion = Literal["none", "train", "train+valid"]


class Protocol(Strict):
    """How a data set is split, what a model sees at test, and what it must not recommend."""

    name: str
    split: AnySplit = RatioSplit()
    history: Parts = "train"
    """What a model may know of a user at test; at validation it is always train."""
    exclude: Exclusion = "train+valid"
    """What must not be recommended at test; at validation it is train. With ``none``, nothing is left out at either, as
    in many published evaluations of sequential models, where an item of the history may take a place of the list."""
    candidates: Literal["all", "train"] = "all"
    """Which items are ranked: all of the catalogue, or those with a train interaction. With ``train``, test items
    without one are no test cases."""

    fit: Parts = "train"
    """What models are fitted on. With ``train+valid`` the validation part is train in every respect, for history and
    exclusion too: nothing is left to stop a training by, and a tuned config has the epochs that its study found."""

    def rules(self) -> dict[str, Any]:
        """The protocol without its name: two names for the same rules are the same protocol."""
        return self.model_dump(mode="json", exclude={"name"} | ({"fit"} if self.fit == "train" else set()))

    def at_validation(self) -> Protocol:
        """The rules for validation: train as history, and train excluded unless nothing is."""
        exclude: Exclusion = "none" if self.exclude == "none" else "train"
        return self.model_copy(update={"history": "train", "exclude": exclude, "fit": "train"})

    def describe(self) -> str:
        """One line for the head of a table."""
        excluded = "nothing" if self.exclude == "none" else self.exclude
        fit = "" if self.fit == "train" else "fitted on train and validation, "
        return (
            f"{self.split.describe()}, {fit}history {self.history}, excluding {excluded}, ranking "
            f"{'all items' if self.candidates == 'all' else 'items seen in train'}"
        )

    @property
    def folds(self) -> list[int | None]:
        """The folds that make up a whole table: ``[None]`` for a single split."""
        match self.split:
            case FoldSplit(folds=n) | RepeatedSplit(repeats=n):
                return list(range(n))
        return [None]


PROTOCOLS = {
    "random": Protocol(name="random"),
    "colarec": Protocol(name="colarec", exclude="train"),
    "loo": Protocol(name="loo", split=LeaveOutSplit(), history="train+valid"),
    "temporal": Protocol(name="temporal", split=TemporalSplit(), history="train+valid"),
    "kfold": Protocol(name="kfold", split=FoldSplit()),
    "strong": Protocol(name="strong", split=HeldOutSplit()),
    "published": Protocol(name="published", split=PredefinedSplit(), exclude="train"),
}
"""Named protocols.

``random`` is RecBole's general setting, ``colarec`` that of Wang et al. (CIKM 2024) on a split of our own and
``published`` on a split that comes with the data, ``loo`` the leave-one-out of sequential recommendation (Kang &
McAuley, ICDM 2018), ``temporal`` a global cut, ``strong`` the held-out users of Liang et al. (WWW 2018).
"""

_COUNTED = {"kfold": "folds", "loo": "k", "random": "repeats", "colarec": "repeats", "strong": "repeats"}
"""What a number after the name of a protocol sets."""


def protocol(name: str, split_seed: int | None = None, **changes: Any) -> Protocol:
    """The named protocol, with the given fields (None: as they are) changed.

    ``NAME:N`` sets the number of ``kfold``, the k of ``loo``, or how many random splits there are. A changed protocol
    bears its name with a star.
    """
    base, colon, number = name.partition(":")
    if base not in PROTOCOLS:
        raise UnknownName("protocol", base, PROTOCOLS, f"{', '.join(PROTOCOLS)} in 'bench run --help'")
    found, field = PROTOCOLS[base], _COUNTED.get(base, "")
    if colon and not (field and number.isdecimal()):
        raise ConfigError(f"'{name}' is no protocol: only {', '.join(f'{one}:N' for one in _COUNTED)} take a number")
    split = found.split.model_dump()
    if split_seed is not None:
        if "seed" not in split or split.get("order", "random") != "random":
            raise ConfigError(f"protocol '{name}' has no random choice that --split-seed could change")
        split["seed"] = split_seed
    n = int(number) if number else split.get(field, 1)
    if field in split:
        split[field] = n
    elif n != 1:
        split = {"kind": "repeated", "of": split, "repeats": n}
    name = base if n == 1 else f"{base}:{n}"  # one name for one protocol, however it was written
    update = {key: value for key, value in changes.items() if value is not None}
    wanted = {**found.model_dump(), **update, "split": split, "name": name}
    try:
        changed = Protocol.model_validate(wanted)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"protocol '{name}': {first['loc'][-1]} = {first['input']!r}: {first['msg']}") from error
    same = found.model_copy(update={"name": name, "split": changed.split})
    return changed if changed == same else changed.model_copy(update={"name": f"{name}*"})
