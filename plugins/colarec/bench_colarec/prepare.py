"""Everything that comes before the network: vectors, identifiers, tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from bench_torchkit.item_texts import check_words, has_words, minilm_vectors
from bench_torchkit.text import minilm_folder
from bench_torchkit.tree import Tree, tree
from numpy.typing import NDArray

from bench import Arrays, ConfigError, Context, DataError, Interactions
from bench_colarec.config import ColaRecConfig, TeacherConfig
from bench_colarec.items import identifiers, tokens, vectors
from bench_colarec.items.lightgcn import lightgcn
from bench_colarec.items.vectors import Vectors
from bench_colarec.network.parts import Parts
from bench_colarec.training.sampling import Sampler

_ITEM_USERS = 9
"""Place in the sampler's randomness of the users that items show when recommending."""
_MINILM = "gid_source=minilm"
"""For errors."""


def check(config: ColaRecConfig, context: Context, n_items: int) -> None:
    """Whether there will be identifiers, before anything is trained.

    Raises
    ------
    ConfigError, DataError
        If the data set or the environment lacks what ``config`` asks for, or the tree has too few places.
    """
    if config.gid_source == "published":
        identifiers.published(column(context, "gid"), n_items)
    else:
        identifiers.check_capacity(n_items, config.codes, _width(config, n_items))
    if config.gid_source in ("text", "minilm"):
        check_words(column(context, "text"), "colarec", vectors.INSTEAD)
    if config.gid_source == "minilm":
        minilm_folder("colarec", _MINILM)


def _width(config: ColaRecConfig, n_items: int) -> int:
    return config.codebook_size or identifiers.smallest_width(n_items, config.codes)


def collaborative(
    config: TeacherConfig,
    train: Interactions,
    context: Context,
    publish: Callable[[Vectors], None],
    stage: str = "vectors",
    init: Literal["svd", "random"] = "svd",
) -> Vectors:
    """Vectors from a file or of a LightGCN; those of items without interactions perhaps from others, by text."""
    if config.vectors_file is not None:
        return vectors.from_file(config.vectors_file, *train.shape)

    def compute() -> Arrays:
        found = lightgcn(
            train,
            context,
            publish=publish,
            size=config.vectors_size,
            layers=config.vectors_layers,
            passes=config.vectors_passes,
            init=init,
            stage=stage,
        )
        return {"users": found.users, "items": found.items}

    inputs = {
        # Of the split's train interactions, those that it learns from.
        "indptr": train.indptr,
        "items": train.items,
        "size": config.vectors_size,
        "layers": config.vectors_layers,
        "passes": config.vectors_passes,
        "init": init,
        "seed": context.seed,
    }
    kept = context.cached(stage.replace(" ", "-"), inputs, compute)
    own = Vectors(kept["users"], kept["items"])
    cold = train.popularity == 0
    if not config.cold_texts or not cold.any():
        return own
    texts = context.item_texts()
    if "text" not in texts or not has_words([str(text) for text in texts["text"]]):
        context.log(f"{cold.sum():,} items have neither interactions nor texts: chance decides their identifiers")
        return own
    like = vectors.twins(cold, [str(text) for text in texts["text"]])
    return _better([Vectors(own.users, own.items[like], like), own], int(cold.sum()), context, publish, stage)


_TRIES = 10
"""How often a candidate is offered to validation, at most."""


def _better(
    offered: Sequence[Vectors], cold: int, context: Context, publish: Callable[[Vectors], None], stage: str
) -> Vectors:
    """The better of two by validation, or the first: where new items are rare, they only take the places of others.

    Each is offered until it has a score, since validation may be due at some epochs alone.
    """
    scores: list[float] = []
    publish(offered[0])
    for _ in context.epochs(_TRIES * len(offered), "try", f"{stage} by texts"):
        if (score := context.validate().score) is None:
            continue
        scores.append(score)
        if len(scores) == len(offered):
            break
        publish(offered[len(scores)])
    compared = len(scores) == len(offered)
    found = offered[int(np.argmax(scores)) if compared else 0]
    by_text = found.twins is not None
    said = "get the vectors of those most like them by text" if by_text else "stay apart: by text, validation is worse"
    context.log(f"{cold:,} items without interactions {said}{'' if compared else ', which validation did not decide'}")
    return found


def identify(config: ColaRecConfig, given: Vectors | None, context: Context, n_items: int) -> Tree:
    """The tree of identifiers that ``config`` asks for."""
    if config.gid_source == "published":
        codes = identifiers.published(column(context, "gid"), n_items)
        return tree(codes, int(codes.max()) + 1)
    length, width, seed = config.codes, _width(config, n_items), context.seed
    if config.gid_source == "random":
        return tree(identifiers.random_codes(n_items, length, width, seed), width)
    if config.gid_source == "text":
        source = vectors.text_vectors(column(context, "text"), config.vectors_size, seed)
    elif config.gid_source == "minilm":
        source = minilm_vectors(context, "colarec", _MINILM, vectors.INSTEAD)
    else:
        assert given is not None
        source = given.items

    def compute() -> Arrays:
        return {"codes": identifiers.hierarchical(source, length, width, seed, context.progress)}

    inputs = {"vectors": source, "length": length, "width": width, "seed": seed}
    return tree(context.cached("identifiers", inputs, compute)["codes"], width)


def read(config: ColaRecConfig, context: Context, n_items: int) -> tokens.TokenTable:
    """The tokens of all item texts."""
    if not config.content:
        return tokens.no_text(n_items)
    texts = column(context, "text")
    if config.backbone != "scratch":
        encoder: tokens.Encoder = tokens.pretrained(config.backbone)
    elif config.tokenizer is not None:
        encoder = tokens.pretrained(config.tokenizer, "tokenizer")
    else:
        encoder = tokens.train(texts, config.vocab_size)
    empty = sum(not text.strip() for text in texts)
    if empty:
        context.log(f"{empty:,} of {n_items:,} items have no text: they are known by their ids alone")
    return tokens.table(encoder, texts, config.input_lengths.item_tokens)


def prepare(
    config: ColaRecConfig,
    train: Interactions,
    context: Context,
    given: Vectors | None,
    table: tokens.TokenTable,
    targets: NDArray[np.bool_] | None = None,
) -> tuple[Parts, Sampler]:
    """All that the network is made for, and the sampler that feeds its training with ``targets``, or with all."""
    found = identify(config, given, context, train.n_items)
    sampler = Sampler(train, found, context.seed, targets)
    everyone, nobody = np.arange(train.n_items), np.zeros(0, np.int64)
    most = 0 if config.index_inputs == "release" else config.input_lengths.users
    indptr, users = sampler.users_of(sampler.rng(0, _ITEM_USERS), everyone, most, nobody)
    shown = Interactions(indptr, users.astype(np.int32), np.zeros(len(users), np.int64), train.n_users)
    return Parts(found, table, shown, config.item_ids), sampler


def column(context: Context, name: str) -> list[str]:
    """A column of the item texts.

    Raises
    ------
    ConfigError, DataError
        If the data set has none, or nothing but empty values.
    """
    texts = context.item_texts()
    if name in texts and texts[name].str.strip().any():
        return [str(value) for value in texts[name]]
    if name == "gid":
        raise ConfigError(
            "colarec: this data set brings no identifiers (field 'gid'): use --set colarec.gid_source=lightgcn"
        )
    raise DataError(
        "colarec: the items of this data set have no texts: name text fields in its card ('texts'), or leave texts out "
        "with --set colarec.content=false"
    )
