"""The decoder of short outputs against the forward pass of ``transformers``."""

import copy

import pytest
import torch
from bench_torchkit.t5_decoder import ShortDecoder, reorder_cache
from bench_torchkit.testing import shake
from transformers import T5Config
from transformers.models.t5.modeling_t5 import T5Stack

SHAPES = {
    "t5": {"num_layers": 2, "num_heads": 2, "d_kv": 8, "feed_forward_proj": "relu"},
    "flan-t5": {"num_layers": 3, "num_heads": 4, "d_kv": 6, "feed_forward_proj": "gated-gelu"},  # 4 · 6 is not d_model
    "one-head": {"num_layers": 1, "num_heads": 1, "d_kv": 16, "feed_forward_proj": "gated-gelu"},
}


@pytest.fixture(params=list(SHAPES))
def stack(request):
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=2, d_model=16, d_ff=20, dropout_rate=0.0, attn_implementation="sdpa", **SHAPES[request.param]
    )
    config.is_decoder, config.use_cache = True, False
    found = T5Stack(config)
    shake(found)
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
