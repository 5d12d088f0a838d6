"""Tiny texts and language models, and slow transcriptions of what is computed in batches: one row at a time, loops."""

import math
from types import FunctionType

from bench_torchkit.testing import assert_equal_weights, copied, offline, rows_of  # noqa: F401 (first: see there)

# ruff: isort: split

import numpy as np
import pytest
import torch
from bench_gpt2rec import tokens
from bench_gpt2rec.config import Gpt2RecConfig
from bench_gpt2rec.documents import NONE, Documents
from bench_gpt2rec.encoder import TextEncoder
from bench_gpt2rec.model import Gpt2Rec, Gpt2RecBasic, Gpt2RecIds
from bench_gpt2rec.network import Network
from bench_torchkit.text import train_bpe
from hypothesis import settings
from tokenizers import ByteLevelBPETokenizer, processors
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from bench.testing import LocalContext, MemorySplit, block_interactions

settings.register_profile("the same everywhere", derandomize=True, deadline=None, database=None)
settings.load_profile("the same everywhere")

MODELS = {"gpt2rec": Gpt2Rec, "gpt2rec-basic": Gpt2RecBasic, "gpt2rec-ids": Gpt2RecIds}
TINY = {
    "text_hidden_size": 16, "text_layers": 1, "text_heads": 2, "vocab_size": 300, "item_tokens": 8, "user_tokens": 10,
    "history": 3, "history_tokens": 5, "embedding_size": 16, "attention_size": 12, "heads": 2, "hidden_sizes": (8,),
    "negatives": 12, "contrastive_batch_size": 32, "batch_size": 128, "cached_epochs": 1, "dynamic_epochs": 1,
    "epochs": 1, "learning_rate": 0.02, "encoder_learning_rate": 2e-3,
}  # fmt: skip


def split(train=None, valid=None, items=None, users=None):
    """The synthetic data, or other interactions, with other texts (None: items have some, and users have none)."""
    data = block_interactions()
    found = MemorySplit(data.train if train is None else train, data.valid if valid is None else valid)
    if items is not None:
        found.items = found.items.assign(text=items)
    if users is not None:
        found.users = found.users.assign(text=users)
    return found


def _profiles():
    """Many users have the same one; one is of blanks, one of nothing."""
    texts = [f"age {20 + user % 6}, likes kind {user % 4}" for user in range(60)]
    texts[2], texts[5] = "", "  "
    return texts


DATA = split()
PROFILED = split(users=_profiles())
BARE = split()
BARE.items = BARE.items[["id", "title"]]
"""Items have titles alone, and no text."""


def config(**changes):
    return Gpt2RecConfig(**{"strategy": "two-stage", **TINY, **changes})


def fit(folder, name="gpt2rec", *, data=DATA, context=LocalContext, seed=1, **options):
    """A fitted model and its context."""
    made = MODELS[name]
    preset = made.presets.get("two-stage", next(iter(made.presets.values())))  # with all that there is
    model = made(made.Config(**{**preset, **TINY, **options}))
    given = context(model, data, folder, seed)
    model.fit(data.train, data.valid, given)
    return model, given


def lists(model, data=DATA, k=10, history=None):
    history = data.train if history is None else history
    return model.recommend(np.arange(data.train.n_users), history, data.train, k)


def reloaded(model, folder):
    """A model that has only what is on disk, and so reads everything anew."""
    folder.mkdir(exist_ok=True)
    model.save(folder)
    found = type(model)(model.config)
    found.load(folder, "cpu")
    return found


def weights(network):
    return copied(network.state_dict())


def shake(module, seed=0):
    """Random weights, also where there are ones or zeros, so that nothing can be forgotten without a trace."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return module


# Documents and encoders without texts: a token is a number.

VOCABULARY = 20


def documents(rows, items=None, profiles=None, history=3, history_tokens=4):
    """``rows`` of tokens; document ``d`` is of item ``d`` if nothing else is said."""
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    items = np.arange(len(rows)) if items is None else np.array(items, np.int64)
    profiles = None if profiles is None else np.array(profiles, np.int64)
    texts = [" ".join(f"w{number}" for number in row) for row in rows]
    ids = np.array([number for row in rows for number in row], np.int64)
    max_tokens = np.full(len(rows), 9, np.int64)
    return Documents(texts, max_tokens, indptr, ids, items, profiles, history, history_tokens)


def random_rows(n, most=7, seed=0):
    """Rows of 1 to ``most`` tokens, of many lengths."""
    rng = np.random.default_rng([seed, 3])
    return [rng.integers(0, VOCABULARY, 1 + at % most).tolist() for at in rng.permutation(n)]


def language_model(kind="gpt2", width=12, seed=0, dropout=0.0, vocab_size=VOCABULARY, layers=2, positions=24):
    """A random GPT-2 or BERT, in the mode of training."""
    torch.manual_seed(seed)
    if kind == "gpt2":
        shape = {"vocab_size": vocab_size, "n_embd": width, "n_layer": layers, "n_head": 2, "n_positions": positions}
        drop = {"embd_pdrop": dropout, "resid_pdrop": dropout, "attn_pdrop": dropout}
        model = GPT2Model(GPT2Config(**shape, **drop, bos_token_id=None, eos_token_id=None))
    else:
        shape = {"vocab_size": vocab_size, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 2}
        drop = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        places = {"intermediate_size": 2 * width, "max_position_embeddings": positions}
        model = BertModel(BertConfig(**shape, **drop, **places))
    return shake(model).train()


def network(settings, of=None, n_users=7, model=None, seed=0, n_items=11):
    """A network whose weights are all random; ``of`` are its documents, none for one without texts."""
    torch.manual_seed(seed)
    n_items = n_items if of is None else len(of.items)
    encoder = None if of is None else TextEncoder(model or language_model(), of, settings.by_token)
    found = Network(settings, n_users, n_items, encoder)
    for part in (found.users, found.items, found.scorer):
        shake(part, seed)
    return found


# What the network should compute, for one user or item.


def plain_states(model, of, document, most=None):
    """(L, h): states of one document, read alone and whole; the first ``most`` of them."""
    ids = of.ids[of.indptr[document] : of.indptr[document + 1]]
    return model(input_ids=torch.from_numpy(ids)[None]).last_hidden_state[0][:most]


def states_of(net, tower, read):
    """States of the documents ``read`` that describe a user or an item; of a history, of the first tokens."""
    of = net.encoder.documents
    cut = tower is net.users and of.profiles is None and net.encoder.by_token
    return [plain_states(net.encoder.model, of, one, of.history_tokens if cut else None) for one in read]


def plain_mean(net, tower, read):
    """(h,): mean over documents of the means over their tokens."""
    return torch.stack([states.mean(0) for states in states_of(net, tower, read)]).mean(0)


def plain_attention(attend, query, states):
    """The answer to one query over some states, and the weights (heads, n): multi-head attention, number by number."""
    normed = attend.norm_states(states)
    asked = attend.query(attend.norm_ids(query)).tolist()
    keys, values = attend.key(normed).tolist(), attend.value(normed).tolist()
    size = len(asked) // attend.heads
    answer, shares = [], []
    for head in range(attend.heads):
        part = range(head * size, (head + 1) * size)
        powers = [math.exp(sum(asked[at] * key[at] for at in part) / math.sqrt(size)) for key in keys]
        share = [power / sum(powers) for power in powers]
        answer += [sum(weight * value[at] for weight, value in zip(share, values, strict=True)) for at in part]
        shares.append(share)
    return torch.tensor(answer), shares


def plain_vector(net, tower, number, read):
    """The vector of one user or item whose texts are the documents ``read``."""
    ids = tower.ids.weight[number]
    if net.encoder is None:
        return ids
    fuse = tower.fusion
    if hasattr(fuse, "text"):  # side by side
        text = fuse.text(fuse.norm(plain_mean(net, tower, read))) if read else torch.zeros_like(ids)
        return torch.cat([ids, text])
    if not read:
        return ids
    states = plain_mean(net, tower, read)[None] if fuse.pooled else torch.cat(states_of(net, tower, read))
    return ids + fuse.out(plain_attention(fuse, ids, states)[0])


def plain_score(scorer, user, item, number):
    """The score of one user and item ``number``, whose first layer has both vectors side by side."""
    found = 0.0
    if scorer.bias is not None:
        found += float(user @ item + scorer.bias[number])
    if scorer.rest is not None:
        first = torch.nn.Linear(2 * len(user), len(scorer.user_half.bias))
        first.weight.data = torch.cat([scorer.user_half.weight, scorer.item_half.weight], dim=1)
        first.bias.data = scorer.user_half.bias.data
        hidden = first(torch.cat([user, item]))
        for layer in scorer.rest:
            hidden = layer(hidden.clone())
        found += float(hidden)
    return found


def read_by(of, user, known):
    """Documents that describe a user: the profile, or those of the latest of the items ``known``, oldest first."""
    latest = [of.items[item] for item in known[::-1][: of.history]]
    chosen = latest if of.profiles is None else [of.profiles[user]]
    return [int(one) for one in chosen if one != NONE]


def plain_scores(net, users, histories):
    """(n, n_items): scores by loops over users and items."""
    of = None if net.encoder is None else net.encoder.documents
    net.eval()
    with torch.no_grad():
        n_items = net.items.ids.num_embeddings
        read = [[] if of is None or of.items[item] == NONE else [int(of.items[item])] for item in range(n_items)]
        items = [plain_vector(net, net.items, item, read[item]) for item in range(n_items)]
        found = []
        for user, known in zip(users, histories, strict=True):
            described = [] if of is None else read_by(of, user, known)
            vector = plain_vector(net, net.users, int(user), described)
            found.append([plain_score(net.scorer, vector, item, at) for at, item in enumerate(items)])
    return np.array(found)


@pytest.fixture(scope="session")
def tiny():
    """The functions and classes of this file."""
    functions = {name: staticmethod(value) for name, value in globals().items() if isinstance(value, FunctionType)}
    constants = {"DATA": DATA, "PROFILED": PROFILED, "BARE": BARE, "MODELS": MODELS}
    return type("tiny", (), {**functions, **constants})


def written_texts():
    """Texts like those of the synthetic data, with words that only a tokenizer for bytes knows."""
    return [*DATA.items["text"], "age 23, likes kind 3", "naïve café", "don't (ever) stop"]


def byte_level():
    """A tokenizer like that of GPT-2: bytes, and a space belongs to the word behind it."""
    found = ByteLevelBPETokenizer()
    found.train_from_iterator(written_texts(), vocab_size=320, show_progress=False)
    return tokens.copy(found._tokenizer)


def bracketed():
    """A tokenizer like that of BERT, with special tokens around a text."""
    found = train_bpe(written_texts(), 320)
    found.add_special_tokens(["[CLS]", "[SEP]", "[PAD]"])
    ends = [(name, found.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    found.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return found


def save_backbone(folder, model, tokenizer):
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(folder)


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory):
    """A GPT-2 of two layers and width 12, with dropout, and a byte-level tokenizer."""
    folder, tokenizer = tmp_path_factory.mktemp("gpt2"), byte_level()
    save_backbone(folder, language_model(dropout=0.1, vocab_size=tokenizer.get_vocab_size()), tokenizer)
    return folder


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory):
    """A BERT of two layers and width 12, with dropout, and a tokenizer with special tokens."""
    folder, tokenizer = tmp_path_factory.mktemp("bert"), bracketed()
    save_backbone(folder, language_model("bert", dropout=0.1, vocab_size=tokenizer.get_vocab_size()), tokenizer)
    return folder


@pytest.fixture(scope="session")
def t5_folder(tmp_path_factory):
    folder, tokenizer = tmp_path_factory.mktemp("t5"), bracketed()
    shape = {
        "vocab_size": tokenizer.get_vocab_size(),
        "d_model": 8,
        "d_kv": 4,
        "d_ff": 8,
        "num_layers": 1,
        "num_heads": 2,
    }
    save_backbone(folder, T5ForConditionalGeneration(T5Config(**shape)), tokenizer)
    return folder
