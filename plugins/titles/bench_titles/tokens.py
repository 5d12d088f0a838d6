"""From titles to tokens and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench_torchkit.text import load_tokenizer, unreachable
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

END = "<|endoftext|>"
"""Ends a title, and begins a history; GPT-2 has it."""


def train(titles: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level byte-pair encoding as that of GPT-2, lower case, of at most ``vocab_size`` tokens, deterministic.

    What it writes can be read back, which a plain encoding of words does not allow.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator(titles, trainer)
    return tokenizer


def pretrained(source: str, key: str) -> Tokenizer:
    """The tokenizer of a local folder, or of a model in the cache of the model hub; ``key`` of the config names it.

    A folder may hold the two files that GPT-2 was published with, and no more.

    Raises
    ------
    ConfigError
        If it cannot be had, or has no token that ends a text.
    """
    try:
        tokenizer = _of_gpt2(Path(source))
        if tokenizer is None:
            tokenizer = getattr(load_tokenizer(source, "titles", key), "backend_tokenizer", None)
        if tokenizer is None:
            raise ValueError("it is not one of the library tokenizers")
        end(tokenizer)
        if not tokenizer.encode("a", add_special_tokens=False).ids:
            raise ValueError("it has no vocabulary")
    except ValueError as error:
        raise unreachable(source, "titles", key, "tokenizer", error) from error
    return tokenizer


def _of_gpt2(folder: Path) -> Tokenizer | None:
    """Of ``vocab.json`` and ``merges.txt``; None if another file says how it is made."""
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if (folder / "tokenizer.json").is_file() or not (vocabulary.is_file() and merges.is_file()):
        return None
    numbers = json.loads(vocabulary.read_text(encoding="utf-8"))
    lines = merges.read_text(encoding="utf-8").splitlines()
    parts = [line.partition(" ") for line in lines if line and not line.startswith("#version")]
    pairs = [(first, second) for first, _, second in parts]
    if unknown := [pair for pair in pairs if not {*pair, "".join(pair)} <= numbers.keys()]:
        raise ValueError(f"its merges.txt does not fit its vocab.json, such as {' '.join(unknown[0])}")
    tokenizer = Tokenizer(models.BPE(numbers, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if tokenizer.token_to_id(END) is not None:
        tokenizer.add_special_tokens([END])
    return tokenizer


def end(tokenizer: Tokenizer) -> int:
    """The number of :data:`END`."""
    found: int | None = tokenizer.token_to_id(END)
    if found is None:
        raise ValueError(f"it has no token {END}, as that of GPT-2 has")
    return found


def encode(tokenizer: Tokenizer, titles: Sequence[str], most: int) -> list[list[int]]:
    """At most ``most`` tokens of each title, without its end; white space counts once."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    cleaned = [" ".join(title.split()) for title in titles]
    return [one.ids[:most] for one in tokenizer.encode_batch(cleaned, add_special_tokens=False)]


def decode(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of some tokens, without the end of the title."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True)).strip()
