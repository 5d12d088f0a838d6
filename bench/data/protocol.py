"""A protocol: everything between a data set and a list of test cases that changes what a number means."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.errors import BenchError, unknown

Parts = Literal["train", "train+valid"]


class RatioSplit(BaseModel):
    """Per user, a share of the interactions for train, validation and test."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["ratio"] = "ratio"
    order: Literal["random"] = "random"
    ratios: tuple[float, float, float] = (8, 1, 1)
    seed: int = 2024


class Protocol(BaseModel):
    """How a data set is split, what a model sees at test, and what it must not recommend."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str
    split: RatioSplit = RatioSplit()
    history: Parts = "train"
    """What a model may know of a user at test; at validation it is always train."""
    exclude: Parts = "train+valid"
    """What must not be recommended at test; at validation it is always train."""
    candidates: Literal["all"] = "all"
    """Which items are ranked."""

    def rules(self) -> dict[str, Any]:
        """The protocol without its name: two names for the same rules are the same protocol."""
        return self.model_dump(mode="json", exclude={"name"})

    def describe(self) -> str:
        """One line for the head of a table."""
        ratios = ":".join(f"{ratio:g}" for ratio in self.split.ratios)
        return (
            f"per-user {self.split.order} {ratios} (split seed {self.split.seed}), history {self.history}, "
            f"excluding {self.exclude}, ranking {self.candidates} items"
        )


PROTOCOLS = {
    "random": Protocol(name="random"),
    "colarec": Protocol(name="colarec", exclude="train"),
}
"""Named protocols. ``random`` is RecBole's general setting, ``colarec`` that of Wang et al. (CIKM 2024)."""


def protocol(name: str, split_seed: int | None = None, **changes: Any) -> Protocol:
    """The named protocol, with the given fields (None: as they are) changed.

    Raises
    ------
    BenchError
        For an unknown name or a value that a field does not take.
    """
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS, "'bench run --help'")
    found = PROTOCOLS[name]
    update = {field: value for field, value in changes.items() if value is not None}
    if split_seed is not None:
        update["split"] = found.split.model_copy(update={"seed": split_seed})
    if not update:
        return found
    try:
        changed = Protocol.model_validate({**dict(found), **update})
    except ValidationError as error:
        first = error.errors()[0]
        raise BenchError(f"protocol: {first['loc'][0]} = {first['input']!r}: {first['msg']}") from error
    return changed if changed == found else changed.model_copy(update={"name": f"{name}*"})
