"""What the prefixes of identifiers stand for: the items, titles and words below a node of the tree."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

_WORD = re.compile(r"[^\W_]{2,}")
_MARKED_TITLE = re.compile(r"title (.*?)(?: (?:brand|categories) |$)")
"""Texts of the form that ColaRec feeds its encoder: "title … brand … categories …"."""

_TITLE = 60
"""Characters of a title."""

_EVERYWHERE = 0.9
"""A word of more than this share of all items is no word of a prefix."""

_PRIOR = 0.5
"""Items that contain a word, added to each side: a word of one item distinguishes nothing."""


def describe(
    codes: NDArray[np.integer],
    texts: pd.DataFrame,
    popularity: NDArray[np.integer],
    level: int = 1,
    top: int = 5,
) -> list[dict[str, Any]]:
    """What the items below each prefix have in common, the prefixes in order.

    Parameters
    ----------
    codes
        (n_items, length) identifiers.
    texts
        (n_items) rows, as of ``context.item_texts()``. Words are those of column ``text`` or, where there is none, of
        all columns but ``id`` and ``gid``; titles are those of column ``title``, or what stands first.
    popularity
        (n_items,) train interactions.
    level
        Tokens of a prefix, 1 … length.
    top
        Titles and words to name.

    Returns
    -------
    JSON-ready, one for each prefix that occurs: ``prefix`` (tokens), ``items`` and ``interactions`` below it,
    ``titles`` of the items with most interactions (ties by item), and ``words`` that set it apart most: those with the
    highest z-score of the log-odds of being in an item below the prefix against in any other item (Monroe et al. 2008,
    eq. 22, with a flat prior), as far as that is above 0. Words of nearly all items, such as names of fields, are none.
    """
    if not 1 <= level <= codes.shape[1]:
        raise ValueError(f"a prefix has 1 to {codes.shape[1]} tokens, not {level}")
    found, prefix = np.unique(codes[:, :level], axis=0, return_inverse=True)
    prefix = prefix.reshape(-1)
    sizes = np.bincount(prefix, minlength=len(found))
    words = _distinctive_words(_texts(texts), prefix, sizes, top)
    titles = _titles(texts)
    order = np.lexsort((np.arange(len(prefix)), -np.asarray(popularity, np.int64), prefix))
    groups = np.split(order, np.cumsum(sizes)[:-1])
    return [
        {
            "prefix": tokens.tolist(),
            "items": len(items),
            "interactions": int(popularity[items].sum()),
            "titles": [titles[item] for item in items[:top]],
            "words": own_words,
        }
        for tokens, items, own_words in zip(found, groups, words, strict=True)
    ]


def as_table(described: Sequence[dict[str, Any]], width: int = 100) -> list[str]:
    """:func:`describe`'s answer as lines of at most ``width`` characters: a line of words, then one for each title."""
    names = ["·".join(map(str, row["prefix"])) for row in described]
    column = max([len("prefix"), *map(len, names)])
    lines = [f"{'prefix':<{column}}  {'items':>7}  words, and titles of the most popular items"]
    indent = " " * (column + 11)
    for name, row in zip(names, described, strict=True):
        lines.append(f"{name:<{column}}  {row['items']:>7,}  {', '.join(row['words']) or '–'}")
        lines += [f"{indent}{title or '–'}" for title in row["titles"]]
    return [line if len(line) <= width else f"{line[: width - 1].rstrip()}…" for line in lines]


def _texts(texts: pd.DataFrame) -> list[str]:
    columns = ["text"] if "text" in texts else [name for name in texts if name not in ("id", "gid")]
    rows = texts[columns].astype(str).agg(" ".join, axis=1) if columns else texts["id"].map(lambda _: "")
    return [html.unescape(text) for text in rows]


def _titles(texts: pd.DataFrame) -> list[str]:
    rows = [html.unescape(title) for title in texts["title"]] if "title" in texts else _texts(texts)
    titles = []
    for row in rows:
        marked = _MARKED_TITLE.match(row) if "title" not in texts else None
        title = " ".join((marked[1] if marked else row).split())
        titles.append(title if len(title) <= _TITLE else f"{title[: _TITLE - 1].rstrip()}…")
    return titles


def _distinctive_words(
    texts: list[str], prefix: NDArray[np.integer], sizes: NDArray[np.integer], top: int
) -> list[list[str]]:
    """The best words of each prefix, best first, ties in order of the alphabet."""
    rows = [sorted(set(_WORD.findall(text.lower()))) for text in texts]
    vocabulary = sorted(set().union(*rows))
    number = {word: column for column, word in enumerate(vocabulary)}
    columns = np.array([number[word] for row in rows for word in row], np.int64)
    of_prefix = np.repeat(prefix, [len(row) for row in rows])
    counts = sp.csr_array((np.ones(len(columns)), (of_prefix, columns)), shape=(len(sizes), len(vocabulary)))
    counts.sum_duplicates()
    everywhere: NDArray[np.float64] = np.asarray(counts.sum(axis=0))
    n = int(sizes.sum())
    best = []
    for row, size in enumerate(sizes.tolist()):
        part = slice(counts.indptr[row], counts.indptr[row + 1])
        here, inside = counts.indices[part], counts.data[part]
        outside = everywhere[here] - inside
        odds = np.log((inside + _PRIOR) / (size - inside + _PRIOR))
        odds -= np.log((outside + _PRIOR) / (n - size - outside + _PRIOR))
        scores = odds / np.sqrt(1 / (inside + _PRIOR) + 1 / (outside + _PRIOR))
        scores[everywhere[here] > _EVERYWHERE * n] = 0
        chosen = np.lexsort((here, -scores))[:top]
        best.append([vocabulary[here[i]] for i in chosen if scores[i] > 0])
    return best
