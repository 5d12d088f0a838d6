"""RPG: the published checks, its scores by hand, and that it learns what follows."""

import numpy as np
import pytest
import torch
from bench_semid.config import RPGConfig, TigerConfig
from bench_semid.rpg import RPG, RPGNetwork
from bench_semid.tiger.model import Tiger
from bench_torchkit.rows import histories, pack
from bench_torchkit.testing import successors
from pydantic import ValidationError

from bench import DataError, Interactions
from bench.testing import LocalContext, ModelChecks, interactions_from

SMALL = {
    "embedding_size": 16,
    "layers": 1,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "batch_size": 16,
    "learning_rate": 0.01,
    "vectors_size": 16,
    "codebook_size": 8,
    "codes": 8,
    "epochs": 12,
    "averaging": 0.9,
}


class TestRPG(ModelChecks):
    name = "rpg@interactions"
    options = SMALL


def test_scores_are_mean_log_probabilities_of_codes_by_hand():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, (11, 3)).astype(np.int32)
    torch.manual_seed(0)
    network = RPGNetwork(
        RPGConfig(embedding_size=8, heads=2, codes=3, codebook_size=5, temperature=0.1, vectors_size=3), codes, 5
    ).eval()
    torch.nn.init.normal_(network.heads, std=0.5)
    history = interactions_from([[1, 4, 2], [7]], 11)
    rows = pack(history, histories(history, 50), 50)
    states = network.states(rows, rows.last)
    found = network.scores(states).detach().numpy()
    table = network.table.weight.detach().numpy().astype(np.float64)[:-1].reshape(3, 5, 8)
    for user, state in enumerate(states.detach().numpy().astype(np.float64)):
        log_probs = []
        for level in range(3):
            inner = state @ network.heads[level].detach().numpy().astype(np.float64)
            head = state + inner / (1 + np.exp(-inner))
            cosines = [head @ code / np.linalg.norm(head) / np.linalg.norm(code) for code in table[level]]
            exponentials = np.exp(np.array(cosines) / 0.1)
            log_probs.append(np.log(exponentials / exponentials.sum()))
        expected = [np.mean([log_probs[level][codes[item, level]] for level in range(3)]) for item in range(11)]
        np.testing.assert_allclose(found[user], expected, atol=1e-4)


def test_an_item_of_the_history_is_the_mean_of_its_codes():
    codes = np.array([[0, 1], [1, 1]], np.int32)
    network = RPGNetwork(RPGConfig(embedding_size=4, codes=2, codebook_size=2), codes, 2).eval()
    network.trunk.forward = lambda tokens, places, rows, at: tokens.flatten(0, 1)[at]
    history = interactions_from([[0, 1]], 2)
    rows = pack(history, histories(history, 3), 3)
    table = network.table.weight
    expected = torch.stack([(table[0] + table[3]) / 2, (table[1] + table[3]) / 2])
    torch.testing.assert_close(network.states(rows, torch.tensor([0, 1])), expected)


@pytest.mark.parametrize("init", ["vectors", "random"])
def test_learns_what_follows(init, tmp_path):
    data = successors(80, 24)
    model = RPG(RPGConfig(**{**SMALL, "vectors": "interactions", "init": init, "epochs": 25}))
    context = LocalContext(model, data, tmp_path)
    model.fit(data.train, data.valid, context)
    found = model.recommend(np.arange(80), data.train, data.train, 1).items
    assert (found == data.valid.items[:, None]).mean() > 0.9
    assert any(line.startswith("codes: ") for line in context.messages)


def test_data_without_times_or_texts_are_refused_before_training(tmp_path):
    data = successors(80, 24)
    train = data.train
    same = Interactions(train.indptr, train.items, np.zeros_like(train.times), train.n_items)
    model = RPG(RPGConfig(**SMALL))
    with pytest.raises(DataError, match="these data have no times"):
        model.fit(same, data.valid, LocalContext(model, data, tmp_path))
    data.items = data.items.drop(columns="text")
    with pytest.raises(DataError, match=r"no item of this data set has a text.*--set rpg.vectors=interactions"):
        model.fit(train, data.valid, LocalContext(model, data, tmp_path))


def test_no_more_codes_are_sampled_than_there_are():
    with pytest.raises(ValidationError, match="sampled_codes 17 is more than codes 16"):
        RPGConfig(sampled_codes=17)
    RPGConfig(sampled_codes=16)


@pytest.mark.parametrize(("model", "config"), [(RPG, RPGConfig), (Tiger, TigerConfig)])
def test_one_user_is_enough_to_train(model, config, tmp_path):
    data = successors(1, 24)
    recommender = model(config(vectors="interactions", epochs=1))
    recommender.fit(data.train, data.valid, LocalContext(recommender, data, tmp_path))
    found = recommender.recommend(np.array([0]), data.train, data.train, 3).items
    assert len(set(found[0])) == 3
    assert not set(found[0]) & set(data.train.items)
