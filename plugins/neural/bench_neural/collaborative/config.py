"""Everything about ``mf``, ``gcn`` and ``jpq`` that can be chosen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench import Search
from bench_neural.collaborative.ranker import VectorConfig


class CollaborativeConfig(VectorConfig):
    """What the three have in common."""

    embedding_size: Annotated[int, Search(choices=(32, 64, 128))] = Field(64, ge=1)
    """Dimensions of the vectors of users and items."""
    item_bias: bool = True
    """Whether an item has a number of its own in each score; it begins as the logarithm of its popularity."""
    loss: Annotated[Literal["sampled_softmax", "bpr"], Search(choices=("sampled_softmax", "bpr"))] = "sampled_softmax"
    """Cross-entropy among the item and negatives, corrected for how they are drawn; or the paper's BPR."""
    negatives: Annotated[int, Search(64, 1024, log=True)] = Field(256, ge=1)
    """Draws of negative items, shared by a batch; a user's own items do not count. With as many as there are items, all
    items are negatives once, and the softmax is exact."""
    popularity: Annotated[float, Search(0.0, 1.0)] = Field(0.5, ge=0, le=1)
    """Share of the negatives that are drawn by popularity, the rest being drawn uniformly."""
    hardness: float = Field(1.0, ge=0)
    """Of BPR: temperature of the weights softmax(hardness · score) of negatives (Sun et al., RotatE, ICLR 2019,
    equation 5); 0 weights all equally."""
    batch_size: Annotated[int, Search(choices=(1024, 2048, 4096, 8192))] = Field(2048, ge=1)
    """Interactions per step."""
    learning_rate: Annotated[float, Search(1e-3, 5e-2, log=True)] = Field(5e-3, gt=0)
    """Of Adam."""
    epochs: int = Field(10, ge=1)
    """Most epochs."""


class MFConfig(CollaborativeConfig):
    """All options of ``mf``."""

    init: Literal["svd", "random"] = "svd"
    """How vectors begin: as the leading singular vectors of the normalized interactions, or at random."""
    initial_length: Annotated[float, Search(0.5, 4.0, log=True, only_if=("init", "svd"))] = Field(1.5, gt=0)
    """Length of the vectors that begin as singular vectors. Longer ones trust them more, against the popularity in the
    bias."""
    l2: Annotated[float, Search(1e-3, 0.3, log=True)] = Field(0.07, ge=0)
    """Weight in the loss of the squared vectors of the batch's users, items and negatives."""
    max_steps: int = Field(500, ge=1)
    """Most steps of an epoch: of more than ``max_steps · batch_size`` interactions each step has more than
    ``batch_size``. A step moves every vector, so that time would grow with the square of the data otherwise."""


class GCNConfig(MFConfig):
    """All options of ``gcn``."""

    negatives: Annotated[int, Search(64, 1024, log=True)] = Field(512, ge=1)
    """As in ``mf``, and cheap beside a propagation."""
    learning_rate: Annotated[float, Search(1e-3, 5e-2, log=True)] = Field(8e-3, gt=0)
    """Of Adam."""
    initial_length: Annotated[float, Search(1.0, 8.0, log=True, only_if=("init", "svd"))] = Field(1.5, gt=0)
    """Length of the vectors that begin as singular vectors, before propagation."""
    l2: Annotated[float, Search(1e-4, 0.1, log=True)] = Field(0.007, ge=0)
    """Weight in the loss of the squared vectors of the batch's users, items and negatives, before propagation."""
    epochs: int = Field(8, ge=1)
    """Most epochs."""
    layers: Annotated[int, Search(1, 4)] = Field(2, ge=0)
    """Propagations of each step over the graph of users and items; their mean is scored. 0 is ``mf``."""


class JPQConfig(CollaborativeConfig):
    """All options of ``jpq``."""

    embedding_size: Annotated[int, Search(choices=(64, 128, 256))] = Field(128, ge=1)
    """Dimensions of the vectors of items and histories."""
    codes: Annotated[int, Search(choices=(8, 16, 32, 64))] = Field(32, ge=1)
    """Codes of an item, one for each of so many singular vectors (m of the paper)."""
    code_values: int = Field(256, ge=2, le=2**15)
    """Values of a code: bins of equal size along a singular vector (b of the paper)."""
    initial_length: Annotated[float, Search(0.5, 4.0, log=True)] = Field(1.5, ge=0)
    """Length of the vectors at the beginning, when a code's vector is the mean of its bin; 0: they begin at random."""
    length_power: Annotated[float, Search(0.0, 1.0)] = Field(0.5, ge=0, le=1)
    """A history of n items is the sum of their vectors divided by n to this power: 1 is the mean."""
    dropout: Annotated[float, Search(0.0, 0.5)] = Field(0.0, ge=0, lt=1)
    """Dropout of user vectors."""
    l2: Annotated[float, Search(1e-4, 0.3, log=True)] = Field(0.01, ge=0)
    """Weight in the loss of the squared vectors of the batch's users, items and negatives."""

    @model_validator(mode="after")
    def _fits(self) -> JPQConfig:
        if self.embedding_size % self.codes:
            raise ValueError(f"embedding_size {self.embedding_size} is no multiple of codes {self.codes}")
        return self
