"""The decoder of short outputs against the forward pass of ``transformers``, and batches against inputs alone."""

import copy

import numpy as np
import pytest
import torch
from bench_colarec.network.decoder import ShortDecoder, reorder_cache
from bench_colarec.network.search import beam_search, exact
from transformers import T5Config
from transformers.models.t5.modeling_t5 import T5Stack

SHAPES = {
    "t5": {"num_layers": 2, "num_heads": 2, "d_kv": 8, "feed_forward_proj": "relu"},
    "flan-t5": {"num_layers": 3, "num_heads": 4, "d_kv": 6, "feed_forward_proj": "gated-gelu"},  # 4 · 6 is not d_model
    "one-head": {"num_layers": 1, "num_heads": 1, "d_kv": 16, "feed_forward_proj": "gated-gelu"},
}


@pytest.fixture(params=list(SHAPES))
def stack(request, tiny):
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=2, d_model=16, d_ff=20, dropout_rate=0.0, attn_implementation="sdpa", **SHAPES[request.param]
    )
    config.is_decoder, config.use_cache = True, False
    found = T5Stack(config)
    tiny.shake(found)
    return found


def encoder_states(n, longest):
    """States of n inputs of different lengths; what stands behind the end has to be without effect."""
    states = torch.randn(n, longest, 16)
    mask = torch.arange(longest) < torch.randint(1, longest + 1, (n, 1))
    mask[0] = True
    return states, mask


def test_steps_are_the_forward_pass_with_teacher_forcing(stack):
    n, candidates, steps = 3, 4, 5
    states, mask = encoder_states(n, 7)
    embeddings = torch.randn(n, candidates, steps, 16)
    states.requires_grad_()
    embeddings.requires_grad_()
    direction = torch.randn(n, candidates, steps, 16)

    decoder = ShortDecoder(stack)
    cross, past, found = decoder.cross(states, mask), None, []
    for step in range(steps):
        out, past = decoder.step(embeddings[:, :, step], past, cross)
        found.append(out)
    found = torch.stack(found, 2)
    leaves = [embeddings, states, *(weight for name, weight in stack.named_parameters() if "embed_tokens" not in name)]
    gradients = torch.autograd.grad((found * direction).sum(), leaves)

    expected = torch.stack(
        [
            stack(
                inputs_embeds=embeddings[row],
                encoder_hidden_states=states[row, mask[row]].expand(candidates, -1, -1),
            ).last_hidden_state
            for row in range(n)
        ]
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for got, wanted in zip(gradients, torch.autograd.grad((expected * direction).sum(), leaves), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_candidates_go_on_from_their_parents(stack):
    # Two tokens of three candidates, then a third token for children of candidates 2, 2, 0 and 1, 0, 2.
    states, mask = encoder_states(2, 5)
    first, second, third = (torch.randn(2, 3, 16) for _ in range(3))
    decoder = ShortDecoder(stack)
    cross = decoder.cross(states, mask)
    _, past = decoder.step(first, None, cross)
    _, past = decoder.step(second, past, cross)
    parents = torch.tensor([[2, 2, 0], [1, 0, 2]])
    found, _ = decoder.step(third, reorder_cache(past, parents), cross)
    shared, _ = decoder.step(third, reorder_cache(past, parents[0]), cross)
    for row in range(2):
        for at, parent in enumerate(parents[row]):
            path = torch.stack([first[row, parent], second[row, parent], third[row, at]])
            expected = stack(inputs_embeds=path[None], encoder_hidden_states=states[row, mask[row]][None])
            torch.testing.assert_close(found[row, at], expected.last_hidden_state[0, -1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shared[0], found[0])


def test_dropout_happens_in_training_alone(stack):
    decoder = ShortDecoder(copy.deepcopy(stack))
    for module in decoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    states, mask = encoder_states(2, 5)
    token = torch.randn(2, 1, 16)

    def run():
        return decoder.step(token, None, decoder.cross(states, mask))[0]

    decoder.train()
    assert not torch.equal(run(), run())
    decoder.eval()
    plain = ShortDecoder(stack)
    assert torch.equal(run(), plain.step(token, None, plain.cross(states, mask))[0])


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
        found, scores = beam_search(net, encoded, of.tree, 5)
        return encoded, net.log_likelihood(encoded, nodes[rows]), exact(net, encoded, of.tree), found, scores

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
