"""The models with a name of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import recbole.model.general_recommender as general
import recbole.model.sequential_recommender as sequential

from bench_recbole import configs
from bench_recbole.model import RecBoleModel


class BERT4Rec(RecBoleModel):
    """Bidirectional transformer trained on masked items (Sun et al., CIKM 2019)."""

    Config = configs.BERT4RecConfig
    recbole_class = sequential.BERT4Rec


class BPR(RecBoleModel):
    """Matrix factorization with the BPR loss (Rendle et al., UAI 2009)."""

    Config = configs.BPRConfig
    recbole_class = general.BPR


class GRU4Rec(RecBoleModel):
    """Recurrent network over the item sequence (Tan et al., DLRS 2016)."""

    Config = configs.GRU4RecConfig
    recbole_class = sequential.GRU4Rec


class LightGCN(RecBoleModel):
    """Light graph convolution (He et al., SIGIR 2020)."""

    Config = configs.LightGCNConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "recbole": {"train_batch_size": 2048, "learning_rate": 0.001, "epochs": 3000},
    }
    recbole_class = general.LightGCN


class MultiVAE(RecBoleModel):
    """Variational autoencoder with multinomial likelihood (Liang et al., WWW 2018)."""

    Config = configs.MultiVAEConfig
    recbole_class = general.MultiVAE


class NCL(RecBoleModel):
    """LightGCN with contrast to structural and semantic neighbours (Lin et al., WWW 2022)."""

    Config = configs.NCLConfig
    recbole_class = general.NCL


class NGCF(RecBoleModel):
    """Neural graph collaborative filtering (Wang et al., SIGIR 2019)."""

    Config = configs.NGCFConfig
    recbole_class = general.NGCF


class NeuMF(RecBoleModel):
    """Neural matrix factorization (He et al., WWW 2017), also known as NCF."""

    Config = configs.NeuMFConfig
    recbole_class = general.NeuMF


class SASRec(RecBoleModel):
    """Self-attentive sequential recommendation (Kang and McAuley, ICDM 2018)."""

    Config = configs.SASRecConfig
    recbole_class = sequential.SASRec


class SimpleX(RecBoleModel):
    """Cosine contrastive loss over user and history vectors (Mao et al., CIKM 2021)."""

    Config = configs.SimpleXConfig
    recbole_class = general.SimpleX


class NCF(NeuMF):
    """Neural collaborative filtering (He et al., WWW 2017): another name of NeuMF."""
