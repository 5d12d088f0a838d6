"""A batch of the network against inputs alone, and against T5's own forward."""

import numpy as np
import pytest
import torch
from bench_colarec.network.search import IdentifierDecoder
from bench_torchkit.codesearch import beam_search, exact_scores


@pytest.mark.parametrize("codebook", ["position", "prefix"])
@pytest.mark.parametrize("positions", [False, True])
def test_padding_changes_nothing(tiny, codebook, positions):
    settings = tiny.config(codebook=codebook, positions=positions)
    of = tiny.parts(tiny.UNEVEN[3])
    net = tiny.network(settings, of)
    history = tiny.histories(7, len(of.tree.codes), 6)
    items = np.arange(14).reshape(7, 2)
    nodes = torch.from_numpy(of.tree.nodes[items])

    def run(rows):
        chosen = history.select(np.array(rows))
        encoded = net.encode(of.inputs.users(chosen.indptr, chosen.items, 96))
        decoder = IdentifierDecoder(net, encoded)
        found, scores = beam_search(decoder, of.tree, 5)
        return (
            encoded,
            net.log_likelihood(encoded, nodes[rows]),
            exact_scores(decoder, of.tree),
            found,
            scores,
        )

    with torch.no_grad():
        together = run(list(range(7)))
        assert len(set(together[0].mask.sum(1).tolist())) > 3
        for row in range(7):
            alone = run([row])
            assert alone[0].mask.all()
            torch.testing.assert_close(together[0].pooled[row], alone[0].pooled[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(
                together[0].states[row][together[0].mask[row]], alone[0].states[0], atol=1e-5, rtol=1e-5
            )
            for got, wanted in zip(together[1:], alone[1:], strict=True):
                torch.testing.assert_close(got[row], wanted[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("item_ids", [False, True])
def test_encode_is_the_forward_pass_over_the_words_of_an_input(tiny, positions, item_ids):
    settings = tiny.config(positions=positions)
    of = tiny.parts(tiny.UNEVEN[3], item_ids=item_ids)
    net = tiny.network(settings, of)
    history = tiny.histories(6, len(of.tree.codes), 6)
    shown = tiny.histories(14, of.item_users.n_items, 4, seed=1)
    with torch.no_grad():
        users = net.encode(of.inputs.users(history.indptr, history.items, 20))
        items = net.encode(of.inputs.items(np.arange(14), shown.indptr, shown.items, 20))
        for row, known in enumerate(tiny.rows_of(history)):
            expected = tiny.states_of(net, *tiny.user_ids(of, known, 20))[0, -1]
            torch.testing.assert_close(users.pooled[row], expected, atol=1e-5, rtol=1e-5)
        for item, known in enumerate(tiny.rows_of(shown)):
            expected = tiny.states_of(net, *tiny.item_input_ids(of, item, known, 20))[0, -1]
            torch.testing.assert_close(items.pooled[item], expected, atol=1e-5, rtol=1e-5)
