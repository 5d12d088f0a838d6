"""Everything about ``two-tower`` that can be chosen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench import Search
from bench_neural.collaborative.ranker import VectorConfig


class TwoTowerConfig(VectorConfig):
    """All options of ``two-tower``."""

    # Item tower
    text: Literal["none", "words", "minilm"] = "words"
    """What is read of an item: nothing; its words, hashed; or a sentence vector of MiniLM (the package of the extra of
    that name)."""
    item_id: bool = False
    """Whether an item also has a vector and a bias of its own, which are added. Without them, items that nobody has
    interacted with are scored like all others, and popularity is known only as far as texts tell."""
    hash_buckets: int = Field(2**14, ge=2)
    """Rows of the table of words; words of the same hash share one."""
    hidden_size: Annotated[int, Search(choices=(64, 128, 256))] = Field(128, ge=1)
    """Of the layer of each tower."""
    embedding_size: Annotated[int, Search(choices=(32, 64, 128))] = Field(64, ge=1)
    """Dimensions of the vectors of users and items."""
    init: Literal["svd", "zero"] = "svd"
    """How the items' own vectors begin: as the leading singular vectors of the interactions, or as nothing, so that the
    texts decide as long as they can."""
    initial_length: Annotated[float, Search(0.5, 4.0, log=True, only_if=("item_id", True))] = Field(1.5, gt=0)
    """Length of the items' own vectors that begin as singular vectors."""

    # User tower
    half_life: Annotated[float | None, Search(choices=(None, 3.0, 10.0, 30.0))] = Field(None, gt=0)
    """An item of the history weighs half as much with every so many later ones; none: all weigh the same."""
    length_power: Annotated[float, Search(0.0, 1.0)] = Field(0.5, ge=0, le=1)
    """A history of n items is the sum of their vectors divided by n to this power: 1 is the mean."""
    dropout: Annotated[float, Search(0.0, 0.5)] = Field(0.1, ge=0, lt=1)
    """Dropout of the hidden layers."""

    # Scores and losses
    normalize: bool = True
    """Whether the vectors of users and items have length 1, so that a score is a cosine over the temperature."""
    temperature: Annotated[float, Search(0.02, 0.5, log=True)] = Field(0.12, gt=0)
    """Divides the products of vectors."""
    log_q: bool = True
    """Whether negatives are corrected for how often they are in a batch. Without, popular items are pushed away."""
    negatives: int = Field(256, ge=0)
    """Uniform negatives beside those that are in the batch (mixed negative sampling, Yang et al., WWW 2020)."""

    # Training
    batch_size: Annotated[int, Search(choices=(1024, 2048, 4096))] = Field(1024, ge=1)
    """Interactions per step."""
    learning_rate: Annotated[float, Search(3e-4, 1e-2, log=True)] = Field(2e-3, gt=0)
    """Of AdamW."""
    weight_decay: Annotated[float, Search(1e-6, 1e-1, log=True)] = Field(1e-4, ge=0)
    """Of AdamW, for all but the items' own vectors."""
    l2: Annotated[float, Search(1e-3, 0.3, log=True, only_if=("item_id", True))] = Field(0.02, ge=0)
    """Weight in the loss of the squared own vectors of the batch's items."""

    @model_validator(mode="after")
    def _fits(self) -> TwoTowerConfig:
        if self.text == "none" and not self.item_id:
            raise ValueError("text=none leaves nothing of an item without item_id=true")
        if self.text == "none" and self.init == "zero":
            raise ValueError("text=none and init=zero make all items equal: use init=svd")
        return self
