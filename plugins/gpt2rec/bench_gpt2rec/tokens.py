"""Tokenizers: one that is learnt from the texts, or that of a pretrained model."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Encoding, Tokenizer, models, normalizers, pre_tokenizers, trainers

from bench.errors import BenchError


def train(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """A byte-pair encoding of at most ``vocabulary`` tokens (Sennrich et al., ACL 2016), lower case, deterministic."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))  # noqa: S106 (no password)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=["<unk>"], show_progress=False, min_frequency=2)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def pretrained(name: str) -> Tokenizer:
    """The tokenizer of a model on the hub, or in a local folder.

    Raises
    ------
    BenchError
        If it cannot be had.
    """
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(name)
        backend: Tokenizer | None = getattr(found, "backend_tokenizer", None)
        if backend is None:
            raise ValueError("it is not one of the library tokenizers")
        if not backend.encode("a", add_special_tokens=False).ids:
            raise ValueError("it has no vocabulary")
    except (OSError, ValueError) as error:
        where = "the folder" if Path(name).is_dir() else "the model hub or its cache"
        reason = " ".join(str(error).split())[:200]
        raise BenchError(f"gpt2rec: no tokenizer '{name}' in {where}: {reason}") from error
    return copy(backend)


def copy(tokenizer: Tokenizer) -> Tokenizer:
    """Another tokenizer that does the same, without padding and truncation."""
    found: Tokenizer = Tokenizer.from_str(tokenizer.to_str())
    found.no_padding()
    found.no_truncation()
    return found


def encode(tokenizer: Tokenizer, texts: Sequence[str], most: int) -> list[Encoding]:
    """At most ``most`` tokens of each text, with the special tokens that the tokenizer puts around it."""
    cutting = copy(tokenizer)
    cutting.enable_truncation(most)
    found: list[Encoding] = cutting.encode_batch(list(texts))
    return found


def size(tokenizer: Tokenizer) -> int:
    """Tokens of the vocabulary."""
    return int(tokenizer.get_vocab_size())


def words(tokenizer: Tokenizer, text: str, most: int) -> list[str]:
    """For each token of ``text``, as :func:`encode` has them, the word that it is part of; ``""`` if of none."""
    places = list(re.finditer(r"\S+", text))
    starts = [place.start() for place in places]
    found = []
    for begin, end in encode(tokenizer, [text], most)[0].offsets:
        piece = text[begin:end]
        begin += len(piece) - len(piece.lstrip())  # byte-level tokens bring the space before a word
        found.append(places[bisect.bisect(starts, begin) - 1].group() if begin < end else "")
    return found
