"""Texts of a data set's items, and their sentence vectors, which the core keeps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench import Context, DataError, TextInputs
from bench_torchkit.text import minilm_folder, sentence_vectors

if TYPE_CHECKING:
    import pandas as pd


def has_words(texts: Sequence[str]) -> bool:
    """Whether a text has one."""
    return any(re.search(r"\w", text) for text in texts)


def check_words(texts: Sequence[str], model: str, instead: str) -> None:
    """See that there are words.

    Raises
    ------
    DataError
        If no text has one; ``model`` and what to do ``instead`` are for the message.
    """
    if not has_words(texts):
        raise DataError(f"{model}: no item of this data set has a text: {instead}")


def texts_of(items: pd.DataFrame, model: str, instead: str) -> list[str]:
    """Of all ``items`` (:meth:`bench.Context.item_texts`); errors as of :func:`check_words`."""
    found = [str(text) for text in items["text"]] if "text" in items else []
    check_words(found, model, instead)
    return found


def minilm_vectors(context: Context, model: str, option: str, instead: str) -> NDArray[np.float32]:
    """(n_items, 384): sentence vectors of all-MiniLM-L6-v2, zero without text.

    ``option``, such as ``text=minilm``, is for the message if its package, which brings the weights, is not installed.

    Raises
    ------
    ConfigError, DataError
        As :func:`bench_torchkit.text.minilm_folder` and :func:`check_words`, before anything is computed.
    """
    texts_of(context.item_texts(), model, instead)
    inputs = {"device": context.device, "folder": minilm_folder(model, option)}
    return context.cached_from_texts("minilm", inputs, _minilm)["items"]


def _minilm(given: TextInputs) -> dict[str, NDArray[np.float32]]:
    texts = [str(text) for text in given.items["text"]]
    return {"items": sentence_vectors(texts, given.inputs["folder"], given.inputs["device"], given.progress)}
