"""Initial values from vectors, and networks from a pretrained T5."""

import numpy as np
import pytest
import torch
from bench_colarec.config import PRESETS
from bench_colarec.items import tokens
from bench_colarec.items.vectors import Vectors
from bench_colarec.model import ColaRec
from bench_colarec.network import backbone, initialization
from bench_colarec.prepare import prepare
from bench_colarec.ranker import Ranker
from bench_torchkit.testing import assert_equal_weights
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from bench.testing import LocalContext, block_interactions, ndcg

DATA = block_interactions()


def planted(rng):
    """Vectors of the blocks: one direction for each, and some noise."""

    def near(n):
        return (2 * np.eye(4)[np.arange(n) % 4] @ np.eye(4, 8) + 0.2 * rng.standard_normal((n, 8))).astype(np.float32)

    return Vectors(near(60), near(48))


def untrained(tiny, folder, vectors, loaded=None, **changes):
    """NDCG@10 of a network that was not trained, and the network."""
    settings = tiny.config(
        **{"embedding_size": 32, "codebook_size": 4, "init": "vectors", "gid_source": "lightgcn", **changes}
    )
    context = LocalContext(None, DATA, folder)
    if settings.content:
        texts = context.item_texts()["text"].tolist()
        table = tokens.table(tokens.train(texts, 300), texts, 8)
    else:
        table = tokens.no_text(48)
    parts, _ = prepare(settings, DATA.train, context, vectors, table)
    torch.manual_seed(1)
    net = backbone.make(settings, parts, loaded)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    random = ndcg(_Ranks(Ranker(settings, net, parts)), DATA)
    initialization.from_vectors(net, parts.inputs, parts.tree, vectors, 1, loaded is None)
    return random, ndcg(_Ranks(Ranker(settings, net, parts)), DATA), net, parts, before


class _Ranks:
    def __init__(self, ranker):
        self.ranker = ranker

    def recommend(self, users, history, exclude, k):
        return self.ranker.recommend(history, exclude, k)


@pytest.mark.parametrize("score", ["match", "generate", "both"])
@pytest.mark.parametrize("content", [False, True])
def test_a_network_that_is_initialized_from_vectors_ranks_as_they_do(tiny, tmp_path, score, content):
    random, found, *_ = untrained(
        tiny, tmp_path, planted(np.random.default_rng(0)), score=score, content=content, codebook="prefix"
    )
    # Of a block, 12 items are at most 9 left after those of the user; lists of the user's own block have about .6.
    assert random < 0.3
    assert found > 0.5


def test_attention_begins_with_the_items_not_with_their_words(tiny, tmp_path):
    *_, net, parts, _ = untrained(tiny, tmp_path, planted(np.random.default_rng(0)))
    attention = net.encoder.block[0].layer[0].SelfAttention
    seen = {}
    for name in ("q", "k"):
        getattr(attention, name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out[0]}))
    ids, positions = tiny.user_ids(parts, [4, 11, 30, 2, 17])
    with torch.no_grad():
        tiny.states_of(net, ids, positions)
        q, k = (seen[name].unflatten(-1, (attention.n_heads, -1)).transpose(0, 1) for name in ("q", "k"))
        weights = (q @ k.transpose(1, 2) + attention.compute_bias(len(ids), len(ids))[0]).softmax(-1)
    words = np.array(positions) > 2
    assert words.mean() > 0.7
    # What the end of the input reads, over all heads.
    assert weights[:, -1, torch.from_numpy(words)].sum(-1).mean() < 0.3


def test_vectors_that_say_nothing_do_no_harm(tiny, tmp_path):
    nothing = Vectors(np.zeros((60, 8), np.float32), np.zeros((48, 8), np.float32))
    *_, net, _, _ = untrained(tiny, tmp_path, nothing)
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


def test_users_without_vectors_are_initialized_too(tiny, tmp_path):
    vectors = planted(np.random.default_rng(0))
    without = Vectors(np.zeros_like(vectors.users), vectors.items)
    _, found, net, *_ = untrained(tiny, tmp_path, without, content=False)
    assert found > 0.5
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory):
    """A tiny T5 and its tokenizer, as ``save_pretrained`` writes them; the model has more rows than the tokenizer."""
    folder = tmp_path_factory.mktemp("backbones") / "tiny-t5"
    texts = [f"title thing {item} of kind {item % 4}" for item in range(48)]
    trained = tokens.train(texts, 300)
    torch.manual_seed(5)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(trained) + 6,
            d_model=24,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_decoder_layers=1,
            num_heads=2,
            feed_forward_proj="gated-gelu",
            decoder_start_token_id=0,
        )
    )
    with torch.no_grad():
        model.shared.weight.mul_(3)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=trained.tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("begin", ["random", "vectors"])
def test_a_pretrained_network_keeps_its_layers_and_tokens(tiny, tmp_path, t5_folder, begin):
    settings = tiny.config(backbone=str(t5_folder), dropout=0.25)
    loaded = backbone.load(settings)
    reference = T5ForConditionalGeneration.from_pretrained(t5_folder)
    # With an embedding for the tasks, positions and codes still random, the stacks are those of the folder.
    if begin == "vectors":
        vectors = planted(np.random.default_rng(0))
        *_, net, parts, before = untrained(tiny, tmp_path, vectors, loaded, content=True)
        inputs = parts.inputs
        rows = net.table.weight[inputs.n_tokens : inputs.n_tokens + 48]
        size = reference.shared.weight[: inputs.n_tokens].norm(dim=1).mean()
        torch.testing.assert_close(rows.norm(dim=1), size.expand(48))
        cosine = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2).detach().numpy()
        expected = vectors.items / np.linalg.norm(vectors.items, axis=1, keepdims=True)
        np.testing.assert_allclose(cosine, expected @ expected.T, atol=1e-4)
        assert torch.equal(net.table.weight[-2:], before["table.weight"][-2:])
    else:
        net = backbone.make(settings, tiny.parts(tiny.UNEVEN[3]), loaded)
        n = 30  # tokens of this table
        std = reference.shared.weight.std().item()
        assert net.table.weight[n:].std().item() == pytest.approx(std, rel=0.15)
    n = net.table.num_embeddings - 2 - (48 + 60 if begin == "vectors" else 14 + 9)
    assert torch.equal(net.table.weight[:n], reference.shared.weight[:n])
    for ours, theirs in ((net.encoder, reference.encoder), (net.decoder.stack, reference.decoder)):
        expected = {name: value for name, value in theirs.state_dict().items() if "embed_tokens" not in name}
        found = {name: value for name, value in ours.state_dict().items() if "embed_tokens" not in name}
        assert_equal_weights(found, expected)
        assert ours.dropout.p == 0.25
        assert ours.block[0].layer[0].SelfAttention.dropout == 0.25
        assert sum(p.numel() for n, p in ours.named_parameters() if "embed_tokens" in n) < 100  # they are in the table


def test_a_model_with_a_pretrained_backbone_outlives_the_folder(tmp_path, t5_folder):
    folder = tmp_path / "my-t5"
    folder.symlink_to(t5_folder)
    options = {**PRESETS["quick"], "backbone": str(folder), "epochs": 1, "batch_size": 32}
    model = ColaRec(ColaRec.Config(**options))
    context = LocalContext(model, DATA, tmp_path / "work")
    model.fit(DATA.train, DATA.valid, context)
    assert context.facts["backbone"] == "my-t5"
    found = model.recommend(np.arange(60), DATA.train, DATA.train, 10)
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    folder.unlink()
    loaded = ColaRec(ColaRec.Config(**options))
    loaded.load(tmp_path / "saved", "cpu")
    again = loaded.recommend(np.arange(60), DATA.train, DATA.train, 10)
    np.testing.assert_array_equal(again.items, found.items)
    np.testing.assert_array_equal(again.scores, found.scores)


def test_a_local_tokenizer_reads_for_a_network_from_scratch(tmp_path, t5_folder):
    model = ColaRec(ColaRec.Config(tokenizer=str(t5_folder), epochs=1, embedding_size=16))
    model.fit(DATA.train, DATA.valid, LocalContext(model, DATA, tmp_path))
    own = tokens.pretrained(str(t5_folder))
    assert model._ranker.parts.tokens.size == len(own)
    assert model._ranker.parts.tokens.ids[:3].tolist() == own.encode(["title thing 0 of kind 0"])[0][:3]


def test_a_backbone_of_a_folder_is_fetched_from_there(t5_folder):
    ColaRec.fetch(ColaRec.Config(backbone=str(t5_folder)))
