"""Everything that comes before the network: vectors, identifiers, tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.contract import Context, Interactions
from bench.errors import BenchError
from bench_colarec import identifiers, tokens, vectors
from bench_colarec.cache import Cached, cached
from bench_colarec.config import ColaRecConfig
from bench_colarec.parts import Parts
from bench_colarec.sampling import Sampler
from bench_colarec.tree import Tree, tree
from bench_colarec.vectors import Vectors

_ITEM_USERS = 9
"""Place in the sampler's randomness of the users that items show when recommending."""


def check(config: ColaRecConfig, context: Context, n_items: int) -> None:
    """Whether there will be identifiers, before anything is trained.

    Raises
    ------
    BenchError
        If the data set lacks what ``config`` asks for, or the tree has too few places.
    """
    if config.gid_source == "published":
        identifiers.published(column(context, "gid"), n_items)
    else:
        identifiers.check_capacity(n_items, config.gid_length, _width(config, n_items))
    if config.gid_source in ("text", "minilm"):
        column(context, "text")


def _width(config: ColaRecConfig, n_items: int) -> int:
    return config.gid_width or identifiers.smallest_width(n_items, config.gid_length)


def collaborative(
    config: ColaRecConfig,
    train: Interactions,
    valid: Interactions,
    context: Context,
    publish: Callable[[Vectors], None],
    stage: str = "vectors",
) -> Vectors:
    """Vectors from a file or of a LightGCN."""
    if config.vectors_file is not None:
        return vectors.from_file(config.vectors_file, *train.shape)

    first: Literal["svd", "random"] = "svd" if config.start == "vectors" else "random"

    def compute() -> dict[str, NDArray[np.float32]]:
        found = vectors.lightgcn(
            train,
            context,
            publish=publish,
            width=config.vectors_width,
            layers=config.vectors_layers,
            start=first,
            stage=stage,
        )
        return {"users": found.users, "items": found.items}

    if context.time_budget is not None:  # what it leaves undone depends on the machine: nothing to keep
        made = compute()
        return Vectors(made["users"], made["items"])
    found = cached(
        stage.replace(" ", "-"),
        compute,
        inputs={"indptr": train.indptr, "items": train.items, "valid": valid.items, "valid_indptr": valid.indptr},
        parameters={
            "width": config.vectors_width,
            "layers": config.vectors_layers,
            "seed": context.seed,
            "device": context.device,
            "start": first,
            "validation_rule": context.validation_rule,
        },
        source=vectors.__file__,
        packages=["torch", "scipy"],
        log=context.log,
    )
    _report(context, stage.replace(" ", "_"), found)
    return Vectors(found.arrays["users"], found.arrays["items"])


def identify(config: ColaRecConfig, given: Vectors | None, context: Context, n_items: int) -> Tree:
    """The tree of identifiers that ``config`` asks for."""
    if config.gid_source == "published":
        codes = identifiers.published(column(context, "gid"), n_items)
        return tree(codes, int(codes.max()) + 1)
    width = _width(config, n_items)
    if config.gid_source == "random":
        return tree(identifiers.random_codes(n_items, config.gid_length, width, context.seed), width)
    if config.gid_source == "text":
        source = vectors.text_vectors(column(context, "text"), config.vectors_width, context.seed)
    elif config.gid_source == "minilm":
        source = vectors.minilm_vectors(column(context, "text"), context)
    else:
        assert given is not None
        source = given.items

    def compute() -> dict[str, NDArray[np.int32]]:
        return {"codes": identifiers.hierarchical(source, config.gid_length, width, context.seed, context.progress)}

    found = cached(
        "identifiers",
        compute,
        inputs={"vectors": source},
        parameters={"length": config.gid_length, "width": width, "seed": context.seed},
        source=identifiers.__file__,
        packages=["k-means-constrained"],
        log=context.log,
    )
    _report(context, "identifiers", found)
    return tree(found.arrays["codes"], width)


def read(config: ColaRecConfig, context: Context, n_items: int) -> tokens.TokenTable:
    """The tokens of all item texts."""
    if not config.content:
        return tokens.no_text(n_items)
    texts = column(context, "text")
    if config.backbone != "scratch":
        encoder: tokens.Encoder = tokens.pretrained(config.backbone)
    elif config.tokenizer is not None:
        encoder = tokens.pretrained(config.tokenizer)
    else:
        encoder = tokens.train(texts, config.vocabulary)
    empty = sum(not text.strip() for text in texts)
    if empty:
        context.log(f"{empty:,} of {n_items:,} items have no text: they are known by their atoms alone")
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
    return Parts(found, table, shown, config.atoms), sampler


def column(context: Context, name: str) -> list[str]:
    """A column of the item texts.

    Raises
    ------
    BenchError
        If the data set has none, or nothing but empty values.
    """
    texts = context.item_texts()
    if name in texts and texts[name].str.strip().any():
        return [str(value) for value in texts[name]]
    if name == "gid":
        raise BenchError(
            "colarec: this data set brings no identifiers (field 'gid'): use --set colarec.gid_source=lightgcn"
        )
    raise BenchError(
        "colarec: the items of this data set have no texts: name text fields in its card ('texts'), or leave texts out "
        "with --set colarec.content=false"
    )


def _report(context: Context, name: str, found: Cached) -> None:
    context.note(f"{name}_seconds", round(found.seconds, 1))
    if found.hit:
        context.note(f"{name}_from_cache", True)
        context.log(f"{name} from the cache; they took {found.seconds:.1f} s")
