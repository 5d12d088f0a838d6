"""Attention of an id over the tokens of its texts, number by number."""

import numpy as np
import pytest
import torch
from bench_gpt2rec import fusion
from bench_gpt2rec.encoder import States, TextFeatures
from bench_gpt2rec.fusion import Fused

WIDTH, STATES = 16, 10  # of ids, as in the tiny options, and of states


def made(tiny, **changes):
    torch.manual_seed(0)
    return tiny.shake(fusion.make(tiny.config(**changes), STATES))


def described(lengths, documents, seed=0):
    """Random states of documents with so many tokens; what stands behind a text is large, so that it would show."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    tokens = torch.randn(*mask.shape, STATES, generator=generator) * 2
    return TextFeatures(States(tokens.masked_fill(~mask[..., None], 1e4), mask), torch.tensor(documents))


def ids(n, seed=1):
    return torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(seed))


# Two documents or one, the same one twice, a short one after a long one, none at all.
DOCUMENTS = [[0, 2], [1, -1], [-1, -1], [3, 3], [4, 0], [-1, 2]]
LENGTHS = [5, 1, 3, 2, 4]


def test_attention_is_multi_head_attention(tiny):
    attend, given, queries = made(tiny), described(LENGTHS, DOCUMENTS), ids(6)
    with torch.no_grad():
        found = attend(queries, given)
        for row, read in enumerate(DOCUMENTS):
            there = [document for document in read if document >= 0]
            if not there:
                assert torch.equal(found.vectors[row], queries[row])
                continue
            states = torch.cat([given.states.tokens[one, : LENGTHS[one]] for one in there])
            answer, shares = tiny.plain_attention(attend, queries[row], states)
            torch.testing.assert_close(found.vectors[row], queries[row] + attend.out(answer), atol=1e-5, rtol=1e-4)
            weights = found.attention[row].flatten(1)
            for head, share in enumerate(shares):
                real = weights[head][weights[head] > 0]
                torch.testing.assert_close(real, torch.tensor(share), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_attention_is_that_of_torch(tiny, heads):
    attend, given, queries = made(tiny, heads=heads), described(LENGTHS, DOCUMENTS), ids(6)
    tokens, mask = given.states
    at = given.documents.clamp(min=0)
    with torch.no_grad():
        found = attend(queries, given)
        normed = attend.norm_states(tokens)
        keys, values = (
            part(normed)[at].flatten(1, 2).unflatten(2, (heads, -1)).transpose(1, 2)
            for part in (attend.key, attend.value)
        )
        asked = attend.query(attend.norm_ids(queries)).unflatten(1, (heads, -1))[:, :, None]
        allowed = (mask[at] & (given.documents >= 0)[..., None]).flatten(1)[:, None, None]
        answer = torch.nn.functional.scaled_dot_product_attention(asked, keys, values, attn_mask=allowed)
        expected = queries + attend.out(answer.transpose(1, 2).flatten(1))
    rows = allowed.flatten(1).any(dim=1)
    torch.testing.assert_close(found.vectors[rows], expected[rows], atol=1e-5, rtol=1e-4)
    assert torch.equal(found.vectors[~rows], queries[~rows])


def test_weights_sum_to_one_over_tokens_and_are_none_elsewhere(tiny):
    weights = made(tiny)(ids(6), described(LENGTHS, DOCUMENTS)).attention
    assert weights.shape == (6, 2, 2, 5)
    for row, read in enumerate(DOCUMENTS):
        for place, document in enumerate(read):
            length = LENGTHS[document] if document >= 0 else 0
            assert (weights[row, :, place, :length] > 0).all()
            assert (weights[row, :, place, length:] == 0).all()
        total = 0.0 if max(read) < 0 else 1.0
        torch.testing.assert_close(weights[row].sum((1, 2)), torch.full((2,), total))


def test_attention_depends_on_who_asks_and_is_not_the_same_everywhere(tiny):
    given = described([5], [[0]] * 4)
    weights = made(tiny)(ids(4), given).attention[:, :, 0]
    assert weights.std(dim=2).min() > 1e-3  # over tokens
    assert weights.std(dim=0).max() > 1e-3  # over ids
    assert (weights[:, 0] - weights[:, 1]).abs().max() > 1e-3  # over heads


@pytest.mark.parametrize("way", ["attention", "pooled"])
def test_an_answer_is_added_to_the_id(tiny, way):
    """The output is the id and an answer; if the query is cut off, the answer is the same for every id."""
    attend, given, queries = made(tiny, fusion=way), described(LENGTHS, [[0, 2]] * 4), ids(4)
    with torch.no_grad():
        answers = attend(queries, given).vectors - queries
        assert answers.abs().min() > 0
        spread = (answers - answers[0]).abs().max()
        attend.query.weight.zero_()
        blind = attend(queries, given).vectors - queries
    torch.testing.assert_close(blind, blind[:1].expand(4, -1), atol=1e-5, rtol=1e-4)
    if way == "pooled":
        assert spread < 1e-5  # attention over one thing is always 1, so that the query never mattered
    else:
        assert spread > 1e-2


def test_pooled_is_the_value_of_the_mean(tiny):
    attend, given, queries = made(tiny, fusion="pooled"), described(LENGTHS, DOCUMENTS), ids(6)
    with torch.no_grad():
        found = attend(queries, given)
        for row, read in enumerate(DOCUMENTS):
            means = [given.states.tokens[one, : LENGTHS[one]].mean(0) for one in read if one >= 0]
            expected = queries[row]
            if means:
                expected = expected + attend.out(attend.value(attend.norm_states(torch.stack(means).mean(0))))
            torch.testing.assert_close(found.vectors[row], expected, atol=1e-5, rtol=1e-4)
    assert found.attention is None


def test_concat_is_the_id_beside_its_text(tiny):
    join, given, queries = made(tiny, fusion="concat"), described(LENGTHS, DOCUMENTS), ids(6)
    with torch.no_grad():
        found = join(queries, given)
        assert isinstance(found, Fused)
        assert found.attention is None
        assert found.vectors.shape == (6, 2 * WIDTH)
        assert torch.equal(found.vectors[:, :WIDTH], queries)
        for row, read in enumerate(DOCUMENTS):
            means = [given.states.tokens[one, : LENGTHS[one]].mean(0) for one in read if one >= 0]
            text = join.text(join.norm(torch.stack(means).mean(0))) if means else torch.zeros(WIDTH)
            torch.testing.assert_close(found.vectors[row, WIDTH:], text, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("way", ["attention", "pooled", "concat"])
def test_what_stands_behind_a_text_changes_nothing(tiny, way):
    attend, given, queries = made(tiny, fusion=way), described(LENGTHS, DOCUMENTS), ids(6)
    other = States(given.states.tokens.masked_fill(~given.states.mask[..., None], -7.0), given.states.mask)
    longer = States(
        *(torch.nn.functional.pad(part, pad) for part, pad in zip(other, ((0, 0, 0, 3), (0, 3)), strict=True))
    )
    expected = attend(queries, given).vectors
    for states in (other, longer):
        torch.testing.assert_close(attend(queries, TextFeatures(states, given.documents)).vectors, expected)


@pytest.mark.parametrize("way", ["attention", "pooled", "concat"])
def test_rows_without_a_text_spoil_no_gradient(tiny, way):
    attend, queries = made(tiny, fusion=way), ids(6).requires_grad_()
    given = described(LENGTHS, DOCUMENTS)
    given.states.tokens.requires_grad_()
    attend(queries, given).vectors.square().sum().backward()
    for parameter in (*attend.parameters(), queries, given.states.tokens):
        assert torch.isfinite(parameter.grad).all()
    assert (given.states.tokens.grad[~given.states.mask] == 0).all()
    if way != "concat":
        torch.testing.assert_close(queries.grad[2], 2 * queries[2].detach())  # the id alone


def test_nobody_has_a_text(tiny):
    for way in ("attention", "pooled"):
        queries = ids(3)
        found = made(tiny, fusion=way)(queries, described([4], [[-1], [-1], [-1]]))
        assert torch.equal(found.vectors, queries)


def test_texts_hardly_change_an_id_at_first(tiny):
    """The answer begins small, and so does the text beside an id."""
    for way in ("attention", "concat"):
        torch.manual_seed(0)
        scale = np.float64(tiny.config().initializer_range)
        attend = fusion.make(tiny.config(fusion=way), STATES)
        given = described([5], [[0]] * 50)
        queries = ids(50) * scale
        found = attend(queries, given).vectors
        added = found[:, WIDTH:] if way == "concat" else found - queries
        assert 0 < added.std() < 2 * scale


@pytest.mark.parametrize("texts", [True, False])
def test_dropout_is_of_the_whole_vectors_and_in_training_alone(tiny, texts):
    settings = tiny.config(dropout=0.25, text=texts)
    net = tiny.network(settings, tiny.documents(tiny.random_rows(30)) if texts else None, n_items=30)
    for side, n in ((net.users, 7), (net.items, 30)):
        numbers = torch.arange(n).repeat(40)
        read = described([5, 3], [[0], [1]] * (len(numbers) // 2), seed=2) if texts else None
        if texts:
            read = TextFeatures(States(torch.randn(2, 5, 12), read.states.mask), read.documents)
        with torch.no_grad():
            plain, dropped = side.eval()(numbers, read).vectors, side.train()(numbers, read).vectors
        kept = dropped != 0
        torch.testing.assert_close(dropped[kept], plain[kept] / 0.75)
        spread = (0.25 * 0.75 / kept.numel()) ** 0.5
        assert (~kept).float().mean().item() == pytest.approx(0.25, abs=5 * spread)
        assert (plain != 0).all()
