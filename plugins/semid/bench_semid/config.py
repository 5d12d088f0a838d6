"""Everything that can be chosen about the recommenders on semantic IDs."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bench import ModelConfig, Search

Source = Literal["words", "minilm", "interactions", "words+interactions", "minilm+interactions"]
Quantizer = Literal["residual-kmeans", "product", "rotated-product", "rqvae"]


class SemanticConfig(ModelConfig):
    """What they share."""

    # Item vectors
    vectors: Source = "words+interactions"
    """What codes are made of: words of the texts, weighed and reduced; sentence vectors of MiniLM (the package of the
    extra of that name); singular vectors of the train interactions; or texts and interactions side by side."""
    vectors_file: str | None = None
    """Vectors made elsewhere, in place of ``vectors``: .npz with ``ids`` (original item ids) and ``vectors``, or
    .parquet with a column ``id`` and numbers."""
    vectors_size: int = Field(128, ge=1)
    """Dimensions that the vectors are reduced to, for each of their sources."""
    whiten: bool = False
    """Whether all these dimensions vary equally."""

    # Codes
    quantizer: Quantizer = "residual-kmeans"
    """How vectors become codes: ``residual-kmeans`` and ``rqvae`` (learned) code what the codes before have left over,
    ``product`` and ``rotated-product`` (OPQ) slices of the dimensions."""
    codes: int = Field(3, ge=1, le=64)
    """Codes of an item."""
    codebook_size: int = Field(256, ge=2)
    """Values of each code."""

    # Network
    max_length: int = Field(50, ge=1)
    """A user's latest items that the model sees."""
    embedding_size: Annotated[int, Search(choices=(64, 128, 256))] = Field(64, ge=1)
    """Dimensions of codes and states."""
    layers: Annotated[int, Search(1, 4)] = Field(2, ge=1)
    """Blocks."""
    heads: Annotated[int, Search(choices=(1, 2, 4))] = Field(2, ge=1)
    """Attention heads of a block; they share the dimensions."""
    inner_size: int = Field(256, ge=1)
    """Width of the feed-forward networks."""
    dropout: Annotated[float, Search(0.0, 0.7)] = Field(0.2, ge=0, lt=1)
    """Of states."""
    attention_dropout: float = Field(0.2, ge=0, lt=1)
    """Of attention weights; the encoder-decoder has one dropout."""
    initializer_range: float = Field(0.02, gt=0)
    """Standard deviation of the initial weights, which the encoder-decoder has from T5."""
    init: Literal["vectors", "random"] = "vectors"
    """How the vectors of codes begin: so that their sum over an item is near its vector, or at random."""

    # Training
    epochs: int = Field(100, ge=1)
    """Most epochs."""
    batch_size: int = Field(64, ge=1)
    """Sequences per step."""
    learning_rate: Annotated[float, Search(3e-4, 1e-2, log=True)] = Field(3e-3, gt=0)
    """Of AdamW."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW, for all weights."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Of the learning rate: constant, or falling to 0 over the epochs."""
    warm_up: float = Field(0.0, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    averaging: float = Field(0.995, ge=0, lt=1)
    """Share of what was, in a step, of the weights that recommend: a moving average of those that are trained."""
    max_grad_norm: float = Field(5.0, gt=0)
    """Largest norm of the gradient."""

    @model_validator(mode="after")
    def _has_slices(self) -> Self:
        sources = 1 if self.vectors_file is not None else len(self.vectors.split("+"))
        size = sources * self.vectors_size
        if self.quantizer in ("product", "rotated-product") and size % self.codes:
            codes = min((n for n in range(1, 65) if not size % n), key=lambda n: (abs(n - self.codes), -n))
            step = self.codes // math.gcd(self.codes, sources)
            raise ValueError(
                f"quantizer {self.quantizer}: vectors of {size} dimensions have no {self.codes} equal slices: choose "
                f"codes={codes} or vectors_size={max(1, round(self.vectors_size / step)) * step}"
            )
        return self


def _check_heads(config: SemanticConfig) -> None:
    if config.embedding_size % config.heads:
        raise ValueError(f"embedding_size {config.embedding_size} is no multiple of heads {config.heads}")


class RPGConfig(SemanticConfig):
    """Of ``rpg``."""

    embedding_size: Annotated[int, Search(choices=(64, 128, 256))] = Field(128, ge=1)
    """Dimensions of codes and states."""
    quantizer: Quantizer = "rotated-product"
    """How vectors become codes; all codes of an item are predicted at once, so that slices suit better than levels."""
    codes: Annotated[int, Search(choices=(8, 16, 32))] = Field(16, ge=1, le=64)
    """Codes of an item, m of the paper."""
    temperature: Annotated[float, Search(0.02, 0.2, log=True)] = Field(0.05, gt=0)
    """Divides the cosines of states and codes."""
    sampled_codes: int | None = Field(None, ge=1)
    """Codes that a step learns from, drawn at random for each batch, which saves time; all if left out, as in the
    paper."""

    @model_validator(mode="after")
    def _fits(self) -> RPGConfig:
        _check_heads(self)
        if self.sampled_codes is not None and self.sampled_codes > self.codes:
            raise ValueError(
                f"sampled_codes {self.sampled_codes} is more than codes {self.codes}: lower it, or leave it out for all"
            )
        return self


class TigerConfig(SemanticConfig):
    """Of ``tiger``."""

    # Network
    network: Literal["decoder", "encoder-decoder"] = "decoder"
    """``decoder``: one stack reads a history and goes on with the codes of the next item, and learns from all items of
    a sequence in one pass. ``encoder-decoder``: the T5 of the paper, which learns from one beginning of a sequence at a
    time."""
    max_length: int = Field(20, ge=1)
    """A user's latest items that the model sees."""
    head_size: int | None = Field(None, ge=1)
    """Dimensions of an attention head of the encoder-decoder; embedding_size / heads if left out."""

    # Search
    num_beams: int = Field(40, ge=2)
    """Beginnings that are followed, and the longest list: excluded items take none."""

    @model_validator(mode="after")
    def _fits(self) -> TigerConfig:
        if self.head_size is None:
            _check_heads(self)
        elif self.network == "decoder":
            raise ValueError("head_size is of the encoder-decoder: leave it out with network=decoder")
        for name in ("attention_dropout", "initializer_range"):
            if self.network != "decoder" and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is of the decoder: leave it out with network=encoder-decoder")
        return self
