"""Everything that can be chosen about the models of sequences."""

from __future__ import annotations

from typing import Annotated, Literal

from bench_torchkit.rows import Targets
from pydantic import Field, model_validator

from bench import ModelConfig, Search
from bench_neural.sequences.network import Positions

Loss = Literal["sampled_softmax", "softmax", "bce", "gbce"]
_WITH_NEGATIVES = ("sampled_softmax", "bce", "gbce")


class SequenceConfig(ModelConfig):
    """What all of them share."""

    # Sequences
    max_length: int = Field(50, ge=1)
    """A user's latest items that the model sees."""
    targets: Targets = "packed"
    """``packed``: every item of a training sequence predicts the next one. ``prefixes``: each beginning of it is a
    sequence of its own, and its last item predicts; slower by the length of the sequences."""

    # Network
    embedding_size: Annotated[int, Search(choices=(32, 64, 128))] = Field(64, ge=1)
    """Dimensions of item vectors and states."""
    layers: Annotated[int, Search(1, 4)] = Field(2, ge=1)
    """Blocks."""
    heads: Annotated[int, Search(choices=(1, 2, 4))] = Field(2, ge=1)
    """Attention heads of a block; they share the dimensions."""
    dropout: Annotated[float, Search(0.0, 0.7)] = Field(0.5, ge=0, lt=1)
    """Of states."""
    item_dropout: Annotated[float, Search(0.0, 0.5)] = Field(0.0, ge=0, lt=1)
    """Of the vectors of items that states are compared with."""
    positions: Annotated[Positions, Search(choices=("start", "end"))] = "start"
    """From where places are counted for their learnt vectors: from the oldest item, from the latest (where packed, the
    latest of the training sequence), or ``none``."""
    initializer_range: float = Field(0.02, gt=0)
    """Standard deviation of the initial weights."""

    # Loss
    loss: Loss = "sampled_softmax"
    """``softmax``: cross-entropy over all items; ``sampled_softmax``: over the target and the negatives; ``bce`` and
    ``gbce`` (Petrov and Macdonald, RecSys 2023): each score by itself."""
    negatives: Annotated[int, Search(64, 4096, log=True, only_if=("loss", _WITH_NEGATIVES))] = Field(1024, ge=1)
    """Items drawn uniformly: for a batch, where a target is not among its own negatives, or for each target."""
    negatives_of: Literal["batch", "target"] = "batch"
    """Who shares them: all targets of a batch, or none; then they are new to the user, as in the paper of SASRec."""
    calibration: float = Field(0.75, ge=0, le=1)
    """t of ``gbce``."""

    # Training
    epochs: int = Field(200, ge=1)
    """Most epochs."""
    batch_size: int = Field(256, ge=1)
    """Sequences per step."""
    learning_rate: Annotated[float, Search(3e-4, 5e-3, log=True)] = Field(1e-3, gt=0)
    """Of Adam."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW, for all weights."""
    averaging: float = Field(0.998, ge=0, lt=1)
    """Share of what was, in a step, of the weights that recommend: a moving average of those that are trained."""
    max_grad_norm: float = Field(5.0, gt=0)
    """Largest norm of the gradient."""


class SASRecConfig(SequenceConfig):
    """Of ``sasrec-fast``."""

    inner_size: int = Field(256, ge=1)
    """Width of the feed-forward networks."""
    attention_dropout: float = Field(0.5, ge=0, lt=1)
    """Of attention weights."""

    @model_validator(mode="after")
    def _fits(self) -> SASRecConfig:
        if self.embedding_size % self.heads:
            raise ValueError(f"embedding_size {self.embedding_size} is no multiple of heads {self.heads}")
        return self


class BSARecConfig(SASRecConfig):
    """Of ``bsarec``: attention as in ``sasrec-fast``, and the filter."""

    targets: Literal["prefixes"] = "prefixes"
    """The filter of a place reads the places behind it, so that packed targets would be seen by what predicts them."""
    heads: Annotated[int, Search(choices=(1, 2, 4))] = Field(1, ge=1)
    """Attention heads of a block; they share the dimensions."""
    positions: Positions = "end"
    """From where places are counted for their learnt vectors: from the latest item, as in the authors' code, or not."""
    loss: Loss = "softmax"
    """As of the other models; the authors' is ``softmax``."""
    batch_size: int = Field(512, ge=1)
    """Sequences per step."""
    frequencies: Annotated[int, Search(1, 5)] = Field(3, ge=1)
    """Lowest frequencies of the filter, that of the mean included: c // 2 + 1 of the authors' code."""
    filter_share: Annotated[float, Search(0.1, 0.9)] = Field(0.7, ge=0, le=1)
    """α: weight of the filter against attention."""


class HSTUConfig(SequenceConfig):
    """Of ``hstu``."""

    layers: Annotated[int, Search(1, 4)] = Field(4, ge=1)
    """Blocks."""
    head_size: Annotated[int, Search(choices=(4, 8, 16, 32))] = Field(16, ge=1)
    """Dimensions of a head."""
    input_dropout: Annotated[float, Search(0.0, 0.7)] = Field(0.5, ge=0, lt=1)
    """Of items and their places, before the first block."""
    dropout: Annotated[float, Search(0.0, 0.7)] = Field(0.3, ge=0, lt=1)
    """Of states."""
    weight_decay: float = Field(1e-3, ge=0)
    """Of AdamW, for all weights."""
    temperature: Annotated[float | None, Search(choices=(None, 0.05, 0.07, 0.1))] = Field(None, gt=0)
    """If given, scores are cosines, divided by it, as in the authors' code; products otherwise."""
    times: Annotated[Literal["own", "next"], Search(choices=("own", "next"))] = "own"
    """From when a place looks back at earlier ones: its own time, or, as in the authors' code, that of the item behind
    it, which it predicts; the latest place, behind which nothing is known, from its own."""
