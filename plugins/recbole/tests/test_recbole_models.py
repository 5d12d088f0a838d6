"""The published checks of a model for every short name, and for some of the family."""

import itertools
from typing import ClassVar

import numpy as np
import pytest

from bench.plugins import load_model
from bench.testing import LocalContext, ModelChecks, block_interactions, interactions_from, ndcg

QUICK = {"epochs": 12, "train_batch_size": 64, "learning_rate": 0.02}


class TestBPR(ModelChecks):
    name = "bpr"
    options: ClassVar = QUICK


class TestNeuMF(ModelChecks):
    name = "neumf"
    options: ClassVar = QUICK


@pytest.mark.slow
class TestNCF(ModelChecks):
    name = "ncf"
    options: ClassVar = {**QUICK, "mf_train": False, "negative_samples": 4}


class TestNGCF(ModelChecks):
    name = "ngcf"
    options: ClassVar = QUICK


class TestLightGCN(ModelChecks):
    name = "lightgcn"
    options: ClassVar = QUICK


class TestSimpleX(ModelChecks):
    name = "simplex"
    options: ClassVar = {**QUICK, "negative_samples": 8, "history_len": 5}


class TestMultiVAE(ModelChecks):
    name = "multivae"
    options: ClassVar = {**QUICK, "train_batch_size": 16}


class TestSASRec(ModelChecks):
    name = "sasrec"
    options: ClassVar = {
        **QUICK,
        "max_seq_length": 4,
        "n_layers": 1,
        "hidden_dropout_prob": 0.1,
        "attn_dropout_prob": 0.1,
    }


class TestBERT4Rec(ModelChecks):
    name = "bert4rec"
    options: ClassVar = {
        **QUICK,
        "epochs": 25,
        "learning_rate": 0.005,
        "max_seq_length": 6,
        "n_layers": 1,
        "ft_ratio": 1.0,
    }
    fold_in_ndcg = None  # it learns the 60 sequences by heart


class TestGRU4Rec(ModelChecks):
    name = "gru4rec"
    options: ClassVar = {**QUICK, "max_seq_length": 4, "loss_type": "BPR"}


class TestNCL(ModelChecks):
    name = "ncl"
    options: ClassVar = {**QUICK, "num_clusters": 4, "warm_up_step": 2}


class TestEASE(ModelChecks):
    """Computed, not trained; RecBole keeps the result outside the weights."""

    name = "recbole:EASE"


class TestPop(ModelChecks):
    """Its counts are no weights either."""

    name = "recbole:Pop"
    options: ClassVar = {"train_batch_size": 16}


@pytest.mark.slow
class TestENMF(ModelChecks):
    """Fed by users, and reads their train rows."""

    name = "recbole:ENMF"
    options: ClassVar = {**QUICK, "learning_rate": 0.05, "dropout_prob": 0.1}


@pytest.mark.slow
class TestDMF(ModelChecks):
    """Keeps item vectors between calls."""

    name = "recbole:DMF"
    options: ClassVar = QUICK


@pytest.mark.slow
class TestCDAE(ModelChecks):
    """An autoencoder with user vectors."""

    name = "recbole:CDAE"
    options: ClassVar = {**QUICK, "train_batch_size": 16, "epochs": 30}


@pytest.mark.slow
class TestConvNCF(ModelChecks):
    """Scores pairs only."""

    name = "recbole:ConvNCF"
    options: ClassVar = {"epochs": 1}

    def test_beats_chance_if_it_is_personalized(self, fitted):
        """One epoch is too short for that, and enough of them would take minutes."""
        assert ndcg(fitted, self._data) > 0


@pytest.mark.slow
class TestSHAN(ModelChecks):
    """Reads sequences reversed."""

    name = "recbole:SHAN"
    options: ClassVar = {**QUICK, "max_seq_length": 4}


def test_a_user_who_has_all_items_is_no_hindrance(tmp_path):
    """RecBole's sampler finds no negative of theirs."""
    data = block_interactions(n_users=20, n_items=12, seed=3)
    rows = [data.train.items[a:b].tolist() for a, b in itertools.pairwise(data.train.indptr)]
    data.train = interactions_from([list(range(12)), *rows[1:]], 12)
    model = load_model("bpr")
    model = model(model.Config(epochs=1))
    model.fit(data.train, data.valid, LocalContext(model, data, tmp_path))
    found = model.recommend(np.arange(20), data.train, data.train, 3)
    assert (found.items[0] < 0).all()
    assert (found.items[1:] >= 0).all()
