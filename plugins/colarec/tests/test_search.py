"""Search against enumeration of all identifiers, a textbook beam search, and ``generate`` of ``transformers``."""

import itertools
import math

import numpy as np
import pytest
import torch
from bench_colarec.network.network import Network
from bench_colarec.network.parts import Parts
from bench_colarec.network.search import IdentifierDecoder
from bench_torchkit.codesearch import beam_search, exact_scores
from transformers import T5Config, T5ForConditionalGeneration

KINDS = [("position", True), ("position", False), ("prefix", True), ("prefix", False)]


@pytest.fixture(params=KINDS, ids=["-".join([book, "tied" if tied else "untied"]) for book, tied in KINDS])
def kind(request, tiny):
    return tiny.config(codebook=request.param[0], tied=request.param[1])


def encoded_users(tiny, net, of, n=3):
    history = tiny.histories(n, len(of.tree.codes), 5)
    ids = [tiny.user_ids(of, row) for row in tiny.rows_of(history)]
    return net.encode(of.inputs.users(history.indptr, history.items, 96)), ids


@pytest.mark.parametrize("length", [1, 2, 3])
def test_exact_is_the_enumeration_of_all_identifiers(tiny, kind, length):
    of = tiny.parts(tiny.UNEVEN[length])
    net = tiny.network(kind, of)
    with torch.no_grad():
        encoded, ids = encoded_users(tiny, net, of)
        decoder = IdentifierDecoder(net, encoded)
        found = exact_scores(decoder, of.tree)
        for row, words in enumerate(ids):
            states = tiny.states_of(net, *words)
            for item, gid in enumerate(of.tree.codes.tolist()):
                expected = sum(tiny.plain_log_probs(net, of, kind, states, gid))
                assert found[row, item].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_enough_beams_find_what_exact_finds(tiny, kind, length):
    of = tiny.parts(tiny.UNEVEN[length])
    net = tiny.network(kind, of)
    n_items = len(of.tree.codes)
    with torch.no_grad():
        encoded, _ = encoded_users(tiny, net, of)
        decoder = IdentifierDecoder(net, encoded)
        expected, order = exact_scores(decoder, of.tree).sort(dim=1, descending=True)
        for beams in (n_items, n_items + 9):
            items, scores = beam_search(decoder, of.tree, beams)
            assert torch.equal(items[:, :n_items], order)
            torch.testing.assert_close(scores[:, :n_items], expected, atol=1e-4, rtol=1e-5)
            assert (items[:, n_items:] == -1).all()
            assert (scores[:, n_items:] == -torch.inf).all()
            assert items.shape == scores.shape == (3, beams)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_probabilities_of_prefix_codebooks_sum_to_one(tiny, length):
    of = tiny.parts(tiny.UNEVEN[length])
    for tied in (True, False):
        net = tiny.network(tiny.config(codebook="prefix", tied=tied), of)
        with torch.no_grad():
            encoded, _ = encoded_users(tiny, net, of)
            decoder = IdentifierDecoder(net, encoded)
            sums = exact_scores(decoder, of.tree).exp().sum(1)
        torch.testing.assert_close(sums, torch.ones(3), atol=1e-5, rtol=0)


def test_probabilities_of_position_codebooks_sum_to_one_over_all_codes(tiny):
    # With a leaf for every combination of codes there is nothing that no item has.
    codes = list(itertools.product(range(3), repeat=2))
    of = tiny.parts(codes, width=3)
    net = tiny.network(tiny.config(codebook="position"), of)
    with torch.no_grad():
        encoded, _ = encoded_users(tiny, net, of)
        decoder = IdentifierDecoder(net, encoded)
        sums = exact_scores(decoder, of.tree).exp().sum(1)
    torch.testing.assert_close(sums, torch.ones(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_write_is_exact_token_by_token(tiny, kind, length):
    of = tiny.parts(tiny.UNEVEN[length])
    net = tiny.network(kind, of)
    n_items = len(of.tree.codes)
    with torch.no_grad():
        encoded, ids = encoded_users(tiny, net, of)
        decoder = IdentifierDecoder(net, encoded)
        nodes = torch.from_numpy(of.tree.nodes).expand(3, -1, -1)
        found = net.log_likelihood(encoded, nodes)
        assert found.shape == (3, n_items, length)
        torch.testing.assert_close(found.sum(-1), exact_scores(decoder, of.tree), atol=1e-4, rtol=1e-5)
        states = tiny.states_of(net, *ids[2])
        for item in (0, n_items - 1):
            expected = tiny.plain_log_probs(net, of, kind, states, of.tree.codes[item].tolist())
            assert found[2, item].tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("beams", [1, 2, 4, 6])
def test_few_beams_are_the_textbook_search(tiny, kind, beams):
    of = tiny.parts(tiny.UNEVEN[3])
    net = tiny.network(kind, of, seed=4)
    gids = [tuple(gid) for gid in of.tree.codes.tolist()]
    with torch.no_grad():
        encoded, ids = encoded_users(tiny, net, of)
        decoder = IdentifierDecoder(net, encoded)
        items, scores = beam_search(decoder, of.tree, beams)
        for row, words in enumerate(ids):
            states = tiny.states_of(net, *words)
            kept = [((), 0.0)]
            for level in range(3):
                reached = []
                for prefix, _ in kept:
                    for longer in sorted({gid[: level + 1] for gid in gids if gid[:level] == prefix}):
                        # Any identifier below it will do: the first tokens do not depend on those behind them.
                        below = next(gid for gid in gids if gid[: level + 1] == longer)
                        log_probs = tiny.plain_log_probs(net, of, kind, states, list(below))
                        reached.append((longer, math.fsum(log_probs[: level + 1])))
                kept = sorted(reached, key=lambda pair: -pair[1])[:beams]
            n = len(kept)
            assert items[row, :n].tolist() == [gids.index(gid) for gid, _ in kept]
            assert scores[row, :n].tolist() == pytest.approx([score for _, score in kept], abs=1e-4)
            assert (items[row, n:] == -1).all()


def test_few_beams_miss_what_exact_finds(tiny):
    # Else the test above would compare two exact searches.
    of = tiny.parts(tiny.UNEVEN[3])
    missed = 0
    for seed in range(6):
        net = tiny.network(tiny.config(codebook="position"), of, seed=seed)
        with torch.no_grad():
            encoded, _ = encoded_users(tiny, net, of)
            decoder = IdentifierDecoder(net, encoded)
            missed += (beam_search(decoder, of.tree, 1)[0][:, 0] != exact_scores(decoder, of.tree).argmax(1)).sum()
    assert missed > 0


def plain_t5(width, tied):
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=width,
            d_model=16,
            d_kv=8,
            d_ff=20,
            num_layers=2,
            num_heads=2,
            dropout_rate=0.0,
            tie_word_embeddings=tied,  # T5 takes this as a question about the scale of scores, and ties always
            decoder_start_token_id=0,
            pad_token_id=0,
            eos_token_id=None,
        )
    ).eval()
    assert model.config.scale_decoder_outputs is tied
    if not tied:
        model.lm_head = torch.nn.Linear(16, width, bias=False)
    return model


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("n_items", [60, 200])
def test_beams_are_those_of_generate(tiny, tied, n_items):
    beams, width, length, start = 100, 9, 3, 0
    torch.manual_seed(3)
    rng = np.random.default_rng(3)
    model = plain_t5(width, tied)
    tiny.shake(model)
    places = rng.permutation(width**length)[:n_items]
    codes = np.stack([places // width**level % width for level in range(length)], 1)
    of: Parts = tiny.parts(codes, width=width)
    net = Network(model.encoder, model.decoder, of, tiny.config(codebook="position", tied=tied)).eval()
    with torch.no_grad():
        net.begin.copy_(model.shared.weight[start])
        for book in net.codebooks.inputs:
            book.weight.copy_(model.shared.weight)
        for book in net.codebooks.outputs:
            book.weight.copy_(model.lm_head.weight)
        history = tiny.histories(3, n_items, 5)
        inputs = of.inputs.users(history.indptr, history.items, 96)
        items, scores = beam_search(IdentifierDecoder(net, net.encode(inputs)), of.tree, beams)
        below: dict[tuple[int, ...], list[int]] = {}
        for gid in codes.tolist():
            for level in range(length):
                below.setdefault(tuple(gid[:level]), []).append(gid[level])
        everything = list(range(width))
        ids = torch.from_numpy(inputs.ids)
        expected = model.generate(
            inputs_embeds=net.table(ids),
            attention_mask=(ids != 0).long(),
            num_beams=beams,
            num_return_sequences=beams,
            length_penalty=0.0,
            max_new_tokens=length,
            do_sample=False,
            # A beam of minus infinity may stand on a prefix that no item has: all that follows has minus infinity too.
            prefix_allowed_tokens_fn=lambda _, tokens: below.get(tuple(tokens[1:].tolist()), everything),
            return_dict_in_generate=True,
            output_scores=True,
        )
    number = {tuple(gid): item for item, gid in enumerate(codes.tolist())}
    sequences = expected.sequences.reshape(3, beams, -1)[:, :, 1:].tolist()
    reference = expected.sequences_scores.reshape(3, beams)
    n = min(beams, n_items)
    found = [[number.get(tuple(gid), -1) for gid in row[:n]] for row in sequences]
    assert items[:, :n].tolist() == found
    torch.testing.assert_close(scores[:, :n], reference[:, :n], atol=1e-4, rtol=1e-5)
    assert (items[:, n:] == -1).all()
