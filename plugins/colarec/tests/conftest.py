"""Tiny networks, and slow transcriptions of what they should compute: one sample, no padding, loops over codes."""

import math
from types import FunctionType

import numpy as np
import pytest
import torch
from bench_colarec.config import ColaRecConfig
from bench_colarec.items.tokens import EOS, TokenTable
from bench_colarec.model import ColaRec
from bench_colarec.network.backbone import make
from bench_colarec.network.network import Network
from bench_colarec.network.parts import Parts
from bench_torchkit.testing import offline, rows_of, shake  # noqa: F401 (a fixture for all tests)
from bench_torchkit.tree import tree

from bench.testing import LocalContext, block_interactions, interactions_from

DATA = block_interactions()
SMALL = {
    "embedding_size": 16, "layers": 1, "heads": 2, "feed_forward": 16, "epochs": 1, "batch_size": 32, "item_tokens": 4,
}  # fmt: skip
TINY = {
    "embedding_size": 16,
    "layers": 2,
    "heads": 2,
    "feed_forward": 20,
    "init": "random",
    "gid_source": "random",
    "lengths": "tiny",
    "batch_size": 16,
}

# Leaves of one to three items, nodes with a single child, codes that no item has, items in no order of their codes.
UNEVEN = {
    1: [[3], [0], [7], [5], [6]],
    2: [[4, 1], [0, 0], [4, 0], [7, 2], [0, 5], [4, 6], [2, 2]],
    3: [
        [5, 0, 1], [0, 0, 0], [0, 0, 7], [2, 6, 3], [5, 0, 0], [5, 1, 4], [0, 0, 2], [7, 7, 7], [5, 1, 0], [0, 3, 5],
        [7, 2, 2], [7, 0, 3], [5, 4, 2], [0, 3, 1],
    ],
}  # fmt: skip


def config(**changes):
    return ColaRecConfig(**{**TINY, **changes})


def token_table(n_items, vocabulary=30, most=5, seed=0):
    """Texts of 0 to ``most`` tokens; the first item has none."""
    rng = np.random.default_rng([seed, 5])
    lengths = rng.integers(0, most + 1, n_items)
    lengths[0] = 0
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenTable(indptr, rng.integers(3, vocabulary, indptr[-1]).astype(np.int32), vocabulary)


def parts(codes, width=8, n_users=9, item_users=2, item_ids=True, seed=0):
    """Random texts, and random users that items show when recommending."""
    codes = np.array(codes, np.int32)
    rng = np.random.default_rng([seed, 6])
    shown = [rng.permutation(n_users)[: rng.integers(0, item_users + 1)].tolist() for _ in codes]
    return Parts(tree(codes, width), token_table(len(codes), seed=seed), interactions_from(shown, n_users), item_ids)


def network(settings, of, seed=0):
    """Random weights, shaken."""
    torch.manual_seed(seed)
    found = make(settings, of, None)
    shake(found)
    return found.eval()


def histories(n, n_items, most, seed=0):
    """Rows of 0 to ``most`` items; the second row has none."""
    rng = np.random.default_rng([seed, 8])
    found = [rng.permutation(n_items)[: rng.integers(0, most + 1)].tolist() for _ in range(n)]
    found[1 if n > 1 else 0] = []
    return interactions_from(found, n_items)


def user_ids(of, history, most=10**6):
    """X_u of a list of items: ids and positions."""
    return _framed(of, [_item(of, item) for item in history], 0, most, keep_first=False)


def item_input_ids(of, item, users, most=10**6):
    """X_i of an item and a list of users."""
    n_items = len(of.tokens.lengths)
    blocks = [_item(of, item), *([(of.tokens.size + n_items + user, 2)] for user in users)]
    return _framed(of, blocks, 1, most, keep_first=True)


def _item(of, item):
    ids = of.tokens.ids[of.tokens.indptr[item] : of.tokens.indptr[item + 1]].tolist()
    own = [(of.tokens.size + item, 1)] if of.item_ids else []
    return own + [(token, 3 + at) for at, token in enumerate(ids)]


def _framed(of, blocks, task, most, keep_first):
    room = most - 2
    blocks = [block[:room] for block in blocks]
    while sum(map(len, blocks)) > room:
        blocks.pop(-1 if keep_first else 0)
    first_task = of.tokens.size + len(of.tokens.lengths) + of.item_users.n_items
    framed = [(first_task + task, 0), *(one for block in blocks for one in block), (EOS, 0)]
    return [one for one, _ in framed], [position for _, position in framed]


def states_of(net: Network, ids, positions):
    """Encoder states (1, L, d) of one input that is not padded, by T5's own forward; h(X) is the last of them."""
    embeddings = net.table.weight[torch.tensor(ids)]
    if net.positions is not None:
        embeddings = embeddings + net.positions.weight[torch.tensor(positions)]
    return net.encoder(inputs_embeds=embeddings[None]).last_hidden_state


def node_number(codes, prefix):
    """Nodes of a level are numbered in the order of their prefixes."""
    return sorted({tuple(code[: len(prefix)]) for code in map(tuple, codes.tolist())}).index(tuple(prefix))


def plain_log_probs(net: Network, of: Parts, settings, states, gid):
    """ln P of each code of one identifier, by T5Stack.forward with teacher forcing and a soft-max written out."""
    codes, books = of.tree.codes, net.codebooks
    prefix = settings.codebook == "prefix"

    def row(level, prefix_codes):
        return node_number(codes, prefix_codes) if prefix else prefix_codes[-1]

    given = [net.begin] + [books.inputs[t].weight[row(t, gid[: t + 1])] for t in range(len(gid) - 1)]
    stack = net.decoder.stack
    hidden = stack(inputs_embeds=torch.stack(given)[None], encoder_hidden_states=states).last_hidden_state[0]
    scale = net.hidden_size**-0.5 if settings.tied else 1.0
    found = []
    for t, code in enumerate(gid):
        if prefix:
            choices = sorted({int(other[t]) for other in codes if other[:t].tolist() == list(gid[:t])})
        else:
            choices = range(of.tree.width)
        logits = {
            choice: float(hidden[t] @ books.outputs[t].weight[row(t, [*gid[:t], choice])]) * scale for choice in choices
        }
        found.append(logits[code] - math.log(sum(math.exp(logit) for logit in logits.values())))
    return found


def fit(folder, data=DATA, seed=1, **options):
    """A fitted model, and its context."""
    kept = options.pop("kept", None)
    model = ColaRec(ColaRec.Config(**{**SMALL, **options}))
    context = LocalContext(model, data, folder, seed, kept=kept)
    model.fit(data.train, data.valid, context)
    return model, context


def lists(model, data=DATA, k=10):
    return model.recommend(np.arange(data.train.n_users), data.train, data.train, k)


@pytest.fixture(scope="session")
def tiny():
    """The functions of this file."""
    functions = {name: staticmethod(value) for name, value in globals().items() if isinstance(value, FunctionType)}
    return type("tiny", (), {**functions, "UNEVEN": UNEVEN, "SMALL": SMALL})
