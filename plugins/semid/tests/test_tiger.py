"""TIGER: the published checks, probabilities against whole passes, and lists that are never short."""

import tracemalloc

import numpy as np
import pytest
import torch
from bench_semid.config import TigerConfig
from bench_semid.tiger.decoder_only import DecoderOnly
from bench_semid.tiger.encoder_decoder import EncoderDecoder
from bench_semid.tiger.model import Tiger
from bench_semid.tiger.search import search
from bench_semid.tiger.tokens import PackedTokens, PrefixTokens, as_tokens, one_a_row
from bench_torchkit.codesearch import beam_search, exact_scores
from bench_torchkit.rows import histories, pack
from bench_torchkit.testing import successors
from bench_torchkit.tree import tree
from pydantic import ValidationError

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
    "codes": 2,
    "num_beams": 64,
    "epochs": 10,
    "averaging": 0.9,
}
T5 = {
    "network": "encoder-decoder",
    "heads": 2,
    "head_size": 8,
    "inner_size": 32,
    "attention_dropout": 0.2,  # as it is where nobody asks
    "initializer_range": 0.02,
}


class TestTiger(ModelChecks):
    name = "tiger@interactions"
    options = SMALL


@pytest.mark.slow
class TestTigerPaper(ModelChecks):
    name = "tiger@paper"
    options = {**SMALL, **T5, "vectors": "interactions", "quantizer": "residual-kmeans", "warm_up": 0.0}


WIDTH = 4
CODES = np.array([[0, 0, 0], [0, 0, 1], [0, 2, 0], [1, 3, 0], [1, 0, 0], [3, 3, 0], [3, 1, 0]], np.int32)
HISTORY = [[0, 3, 2, 6], [5], [1, 4, 0]]


def networks(**changes):
    """Both of them, with random weights, a tree of seven items, and three histories."""
    torch.manual_seed(1)
    options = {**SMALL, "layers": 2, "max_length": 5, "initializer_range": 0.5, **changes}
    return (
        DecoderOnly(TigerConfig(**options), 3, WIDTH).eval(),
        EncoderDecoder(TigerConfig(**{**options, **T5}), 3, WIDTH).eval(),
    )


def by_whole_passes(network, known, catalogue):
    """(n, n_items) log-probabilities, each item of each user alone and without anything kept between codes."""
    found = torch.zeros(known.n_users, len(CODES))
    for user in range(known.n_users):
        tokens = as_tokens(known.select(np.array([user])), catalogue).items.tolist()
        for item, codes in enumerate(CODES.tolist()):
            behind = [code + level * WIDTH for level, code in enumerate(codes)]
            if isinstance(network, DecoderOnly):
                row = interactions_from([tokens + behind[:-1]], 3 * WIDTH)
                alone = pack(row, histories(row, 99), 99)
                places = torch.arange(len(tokens) - 1, len(tokens) + 2)
                states = network.states(alone, places)
                logits = torch.stack([head(state) for head, state in zip(network.heads, states, strict=True)])
            else:
                encoded = network.encoder(inputs_embeds=network.tokens(torch.tensor([tokens]))).last_hidden_state
                into = network.tokens(torch.tensor([[3 * WIDTH, *behind[:-1]]]))
                states = network.generator.stack(inputs_embeds=into, encoder_hidden_states=encoded).last_hidden_state[0]
                table = network.tokens.weight[:-1].view(3, WIDTH, -1)
                logits = (table @ states[..., None]).squeeze(2) * 16**-0.5
            log_probs = logits.log_softmax(1)
            found[user, item] = sum(log_probs[level, code] for level, code in enumerate(codes))
    return found


@pytest.mark.parametrize("which", [0, 1])
def test_scores_are_those_of_whole_passes_and_enough_beams_find_them(which):
    network, catalogue, known = networks()[which], tree(CODES, WIDTH), interactions_from(HISTORY, len(CODES))
    with torch.no_grad():
        expected = by_whole_passes(network, known, catalogue)
        decoder = network.decoder(one_a_row(known, catalogue, 5))
        torch.testing.assert_close(exact_scores(decoder, catalogue), expected, rtol=1e-4, atol=1e-4)
        items, scores = beam_search(decoder, catalogue, 16)
    best, order = expected.sort(dim=1, descending=True)
    assert torch.equal(items[:, :7], order)
    torch.testing.assert_close(scores[:, :7], best, rtol=1e-4, atol=1e-4)
    assert best.std() > 0.5  # it is no matter of rounding


def test_likelihoods_in_training_are_those_of_the_search():
    first, second = networks()
    catalogue, known = tree(CODES, WIDTH), interactions_from(HISTORY, len(CODES))
    with torch.no_grad():
        [batch] = PackedTokens(known, catalogue, 5, 8).batches(np.random.default_rng(0))
        found = first.log_likelihoods(batch).sum(1)
        [prefixes] = PrefixTokens(known, catalogue, 5, 8).batches(np.random.default_rng(0))
        others = second.log_likelihoods(prefixes).sum(1)
        for network, values, targets in ((first, found, batch.targets), (second, others, prefixes.targets)):
            expected = []
            for row in HISTORY:
                for end in range(1, len(row)):
                    history = interactions_from([row[:end]], len(CODES))
                    scores = exact_scores(network.decoder(one_a_row(history, catalogue, 5)), catalogue)
                    expected.append(float(scores[0, row[end]]))
            assert sorted(values.tolist()) == pytest.approx(sorted(expected), abs=1e-4)
            wanted = sorted(CODES[row[end]].tolist() for row in HISTORY for end in range(1, len(row)))
            assert sorted(targets.tolist()) == wanted


@pytest.mark.parametrize("kind", [PackedTokens, PrefixTokens])
def test_batches_hold_nothing_for_each_interaction_of_train_but_where_it_begins(kind):
    rows = [list(range(row % 7, 7)) * 3 for row in range(400)]
    train, catalogue = interactions_from(rows, len(CODES)), tree(CODES, WIDTH)
    tracemalloc.start()
    sequences = kind(train, catalogue, 5, 8)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 20 * len(train)
    assert sequences._train is train


def test_excluded_items_take_no_beam():
    network, catalogue, known = networks()[0], tree(CODES, WIDTH), interactions_from(HISTORY, len(CODES))
    exclude = interactions_from([[0, 1, 2, 3], [], [0, 1, 2, 3, 4, 5, 6]], len(CODES))
    with torch.no_grad():
        found, _ = search(network, catalogue, 5, known, exclude, 3, "cpu")
        expected = exact_scores(network.decoder(one_a_row(known, catalogue, 5)), catalogue).argsort(1, descending=True)
    assert found[0].tolist() == [item for item in expected[0].tolist() if item > 3]
    assert (found[1] >= 0).all()
    assert found[2].tolist() == [-1] * 3


def test_a_diverged_model_is_an_error(tmp_path):
    data = successors(40, 24)
    options = {"vectors": "interactions", "epochs": 2, "learning_rate": 1e30, "averaging": 0.0}
    model = Tiger(TigerConfig(**{**SMALL, **options}))
    with pytest.raises(ValueError, match="the model diverged"):
        model.fit(data.train, data.valid, LocalContext(model, data, tmp_path))


def test_learns_what_follows_and_notes_how_the_search_went(tmp_path):
    data = successors(200, 24)
    changes = {"vectors": "interactions", "num_beams": 8, "batch_size": 32, "epochs": 20}
    model = Tiger(TigerConfig(**{**SMALL, **changes}))
    context = LocalContext(model, data, tmp_path)
    model.fit(data.train, data.valid, context)
    found = model.recommend(np.arange(200), data.train, data.train, 1).items
    assert (found == data.valid.items[:, None]).mean() > 0.9
    assert 0 < context.facts["search"]["invalid_unconstrained"] < 1


def test_heads_of_another_size_are_of_the_encoder_decoder_alone():
    with pytest.raises(ValidationError, match="head_size is of the encoder-decoder"):
        TigerConfig(head_size=8)
    with pytest.raises(ValidationError, match="attention_dropout is of the decoder"):
        TigerConfig(network="encoder-decoder", attention_dropout=0.1)
    with pytest.raises(ValidationError, match="no multiple of heads"):
        TigerConfig(heads=3)
