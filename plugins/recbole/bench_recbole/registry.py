"""From a model's name to its class."""

from __future__ import annotations

import functools

from bench.contract import ModelConfig
from bench.errors import unknown
from bench_recbole import configs, family
from bench_recbole.model import RecBoleModel

SHORT_NAMES: dict[str, tuple[str, type[ModelConfig]]] = {
    "bert4rec": ("BERT4Rec", configs.BERT4RecConfig),
    "bpr": ("BPR", configs.BPRConfig),
    "gru4rec": ("GRU4Rec", configs.GRU4RecConfig),
    "lightgcn": ("LightGCN", configs.LightGCNConfig),
    "multivae": ("MultiVAE", configs.MultiVAEConfig),
    "ncf": ("NeuMF", configs.NeuMFConfig),
    "ncl": ("NCL", configs.NCLConfig),
    "neumf": ("NeuMF", configs.NeuMFConfig),
    "ngcf": ("NGCF", configs.NGCFConfig),
    "sasrec": ("SASRec", configs.SASRecConfig),
    "simplex": ("SimpleX", configs.SimpleXConfig),
}
"""Short name: RecBole's class name and the config."""

DETERMINISTIC = {"AsymKNN", "EASE", "ItemKNN", "SLIMElastic"}
"""RecBole models that draw nothing. Pop is not one of them: it counts an item once a batch, so the shuffle matters."""


@functools.cache
def model_class(name: str) -> type[RecBoleModel]:
    """The class of a short name or of ``recbole:`` and a RecBole class name.

    Raises
    ------
    BenchError
        If there is no such model, or it cannot be trained on interactions alone.
    """
    if name in SHORT_NAMES:
        algorithm, config = SHORT_NAMES[name]
    elif name.startswith(family.PREFIX):
        algorithm = name.removeprefix(family.PREFIX)
        family.recbole_class(algorithm)
        config = family.config_class(algorithm)
    else:
        raise unknown("model", name, SHORT_NAMES, "'bench models list'")
    members = {
        "__doc__": config.__doc__,
        "__module__": __name__,
        "Config": config,
        "deterministic": algorithm in DETERMINISTIC,
        "recbole_class": family.recbole_class(algorithm),
    }
    return type(algorithm, (RecBoleModel,), members)
