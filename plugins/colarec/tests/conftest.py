"""Tiny networks, and slow transcriptions of what they should compute: one sample, no padding, loops over codes."""

import math
import os
from types import FunctionType

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pytest
import torch
from bench_colarec.config import ColaRecConfig
from bench_colarec.network import Network, make
from bench_colarec.parts import Parts
from bench_colarec.tokens import EOS, TokenTable
from bench_colarec.tree import tree

from bench.contract import Interactions
from bench.testing import interactions_from

torch.set_num_threads(1)  # the tensors of tests are tiny, and on a busy machine threads wait for each other

TINY = {
    "width": 16,
    "layers": 2,
    "heads": 2,
    "feed_forward": 20,
    "start": "random",
    "gid_source": "random",
    "lengths": "tiny",
    "batch": 16,
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


def parts(codes, width=8, n_users=9, item_users=2, atoms=True, seed=0):
    """Random texts, and random users that items show when recommending."""
    codes = np.array(codes, np.int32)
    rng = np.random.default_rng([seed, 6])
    shown = [rng.permutation(n_users)[: rng.integers(0, item_users + 1)].tolist() for _ in codes]
    return Parts(tree(codes, width), token_table(len(codes), seed=seed), interactions_from(shown, n_users), atoms)


def network(settings, of, seed=0):
    """Random weights, also where T5 has ones, so that nothing can be forgotten without a trace."""
    torch.manual_seed(seed)
    found = make(settings, of, None)
    shake(found)
    return found.eval()


def shake(module):
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if "norm" in name:
                weight.mul_(0.5 + torch.rand_like(weight))
            if "relative_attention_bias" in name:
                weight.normal_(std=2.0)


def histories(n, n_items, most, seed=0):
    """Rows of 0 to ``most`` items; the second row has none."""
    rng = np.random.default_rng([seed, 8])
    found = [rng.permutation(n_items)[: rng.integers(0, most + 1)].tolist() for _ in range(n)]
    found[1 if n > 1 else 0] = []
    return interactions_from(found, n_items)


def user_slots(of, history, most=10**6):
    """X_u of a list of items, in words: slots and places."""
    return _framed(of, [_item(of, item) for item in history], 0, most, keep_first=False)


def item_slots(of, item, users, most=10**6):
    """X_i of an item and a list of users."""
    n_items = len(of.tokens.lengths)
    blocks = [_item(of, item), *([(of.tokens.size + n_items + user, 2)] for user in users)]
    return _framed(of, blocks, 1, most, keep_first=True)


def _item(of, item):
    ids = of.tokens.ids[of.tokens.indptr[item] : of.tokens.indptr[item + 1]].tolist()
    atom = [(of.tokens.size + item, 1)] if of.atoms else []
    return atom + [(token, 3 + at) for at, token in enumerate(ids)]


def _framed(of, blocks, task, most, keep_first):
    room = most - 2
    blocks = [block[:room] for block in blocks]
    while sum(map(len, blocks)) > room:
        blocks.pop(-1 if keep_first else 0)
    first_task = of.tokens.size + len(of.tokens.lengths) + of.item_users.n_items
    framed = [(first_task + task, 0), *(slot for block in blocks for slot in block), (EOS, 0)]
    return [slot for slot, _ in framed], [place for _, place in framed]


def states_of(net: Network, slots, places):
    """Encoder states (1, L, d) of one input that is not padded, by T5's own forward; h(X) is the last of them."""
    embeddings = net.table.weight[torch.tensor(slots)]
    if net.places is not None:
        embeddings = embeddings + net.places.weight[torch.tensor(places)]
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
    scale = net.width**-0.5 if settings.tied else 1.0
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


@pytest.fixture(scope="session")
def tiny():
    """The functions of this file."""
    functions = {name: staticmethod(value) for name, value in globals().items() if isinstance(value, FunctionType)}
    return type("tiny", (), {**functions, "UNEVEN": UNEVEN})


@pytest.fixture(autouse=True, scope="session")
def _alone(tmp_path_factory):
    """What is kept on disk does not go to the user's cache, nor come from there; nothing is asked of a model hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        yield


def rows_of(matrix: Interactions):
    """Lists of items, row by row."""
    return [matrix.items[a:b].tolist() for a, b in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)]
