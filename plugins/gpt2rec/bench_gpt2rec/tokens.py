"""Tokens of texts, and the words that they are part of."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence

from bench_torchkit.text import load_tokenizer, unreachable
from tokenizers import Encoding, Tokenizer

from bench import ConfigError


def pretrained(source: str, key: str) -> Tokenizer:
    """The tokenizer of a local folder, or of a model in the cache of the model hub.

    Parameters
    ----------
    source
        The folder or the model's name on the hub.
    key
        Of the config that names it, for the error.

    Raises
    ------
    ConfigError
        If it cannot be had.
    """
    tokenizer: Tokenizer | None = getattr(load_tokenizer(source, "gpt2rec", key), "backend_tokenizer", None)
    try:
        if tokenizer is None:
            raise ValueError("it is not one of the library tokenizers")
        if not tokenizer.encode("a", add_special_tokens=False).ids:
            raise ValueError("it has no vocabulary")
    except ValueError as error:
        raise unreachable(source, "gpt2rec", key, "tokenizer", error) from error
    return copy(tokenizer)


def copy(tokenizer: Tokenizer) -> Tokenizer:
    """Another tokenizer that does the same, without padding and truncation."""
    found: Tokenizer = Tokenizer.from_str(tokenizer.to_str())
    found.no_padding()
    found.no_truncation()
    return found


def encode(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> list[Encoding]:
    """At most ``max_tokens`` of each text, with the special tokens that the tokenizer puts around it.

    Raises
    ------
    ConfigError
        If these are all that there is room for.
    """
    if max_tokens <= (special := tokenizer.num_special_tokens_to_add(False)):
        raise ConfigError(
            f"gpt2rec: {max_tokens} tokens hold no word, since the tokenizer puts {special} of its own around a text: "
            "raise item_tokens or user_tokens"
        )
    truncating = copy(tokenizer)
    truncating.enable_truncation(max_tokens)
    found: list[Encoding] = truncating.encode_batch(list(texts))
    return found


def words(tokenizer: Tokenizer, text: str, max_tokens: int) -> list[str]:
    """For each token of ``text``, as :func:`encode` has them, the word that it is part of; ``""`` if of none."""
    places = list(re.finditer(r"\S+", text))
    starts = [place.start() for place in places]
    found = []
    for begin, end in encode(tokenizer, [text], max_tokens)[0].offsets:
        piece = text[begin:end]
        begin += len(piece) - len(piece.lstrip())  # byte-level tokens bring the space before a word
        found.append(places[bisect.bisect(starts, begin) - 1].group() if begin < end else "")
    return found
