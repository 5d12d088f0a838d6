"""Select the ablations to run."""

from __future__ import annotations

from collections.abc import Sequence

from bench.errors import ConfigError, UnknownName
from bench.messages.cell import Ablation
from bench.messages.description import Description

ALL = "all"


def chosen(described: Sequence[Description], names: Sequence[str]) -> list[list[str]]:
    """Names of the ablations of each model of ``described``.

    ``names`` is ``["all"]`` for all that there are, or names, of which a model gets those that it has. A model without
    ablations among others with some is run as it is, for comparison.

    Raises
    ------
    ConfigError
        If no model has an ablation.
    UnknownName
        If none of them has a named one.
    """
    if not names:
        return [[] for _ in described]
    known = list(dict.fromkeys(name for model in described for name in model.ablations))
    models = ", ".join(dict.fromkeys(model.model for model in described))
    if not known:
        raise ConfigError(
            f"no model of --models has ablations: {models}; 'bench models info NAME' lists those of a model"
        )
    if list(names) == [ALL]:
        names = known
    for name in names:
        if name not in known:
            raise UnknownName(f"ablation of {models}", name, known, f"'bench models info {described[0].model}'")
    return [[name for name in model.ablations if name in names] for model in described]


def variants(model: Description, names: Sequence[str]) -> list[tuple[Ablation | None, dict[str, object]]]:
    """The model as it is and with each of the ablations, each with its config."""
    ablated = [(Ablation(name=name, unablated=model.config), model.ablations[name].config) for name in names]
    return [(None, model.config), *ablated]
