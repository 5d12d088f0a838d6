"""Everything about the model of titles that can be chosen, and named choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from bench_torchkit.adapters import Adapters
from bench_torchkit.schedules import Precision
from pydantic import Field, model_validator

from bench import ModelConfig, Search


class TitlesConfig(ModelConfig):
    """All options of ``titles``."""

    # Titles
    title_field: str | None = None
    """Field that holds the titles; by default ``title`` or ``name``, whichever the data set has."""
    title_tokens: int = Field(16, ge=1)
    """Most tokens of a title; titles that agree in these are one title."""
    history: Annotated[int, Search(3, 30, log=True)] = Field(10, ge=1)
    """Latest titles of a user that the next one is written from."""
    order: Annotated[Literal["time", "random"], Search(choices=("time", "random"))] = "time"
    """Order of the titles in training: as they came, or another one in each epoch, for protocols whose test items are
    not the next ones."""

    # Language model
    backbone: str = "scratch"
    """``scratch``, a small GPT-2 with random weights, or a pretrained causal model: a name on the Hugging Face hub,
    such as ``gpt2``, or a local folder."""
    finetuning: Literal["lora", "full"] = "full"
    """What is trained: adapters, or all weights."""
    lora_rank: int = Field(8, ge=1)
    """Rank of the adapters (r of LoRA)."""
    lora_alpha: int = Field(32, ge=1)
    """Scale of the adapters (α of LoRA)."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the adapters."""
    lora_modules: tuple[str, ...] | None = None
    """Names of the modules that get adapters; those usual for the kind of model if left out."""
    tokenizer: str | None = None
    """Folder or hub name of a tokenizer for a model from scratch, such as that of GPT-2, in place of one that is
    trained on the titles of train."""
    vocab_size: int = Field(2048, ge=300)
    """Most tokens of the tokenizer that is trained."""
    embedding_size: Annotated[int, Search(choices=(64, 128, 256))] = Field(64, ge=4)
    """Dimensions of a model from scratch."""
    layers: Annotated[int, Search(1, 4)] = Field(2, ge=1)
    """Layers of a model from scratch."""
    heads: int = Field(4, ge=1)
    """Attention heads of a model from scratch."""
    dropout: Annotated[float, Search(0.0, 0.5)] = Field(0.1, ge=0, lt=1)
    """Of a model from scratch: of what goes into it and of what each layer adds."""
    initializer_range: float = Field(0.1, gt=0)
    """Standard deviation of the initial weights of a model from scratch; the .02 of GPT-2 is slow for one so small."""

    # From what is written to items
    grounding: Literal["trie", "bm25"] = "trie"
    """``trie``: only titles of allowed items can be written, and all are ranked by their probabilities; ``bm25``:
    titles are written freely, and each is a query for items whose titles share its words."""
    num_beams: int = Field(50, ge=1)
    """Titles that are written for a user: beams of the search."""
    items_per_query: int = Field(5, ge=1)
    """Items that each written title brings, with ``bm25``; a list has at most ``num_beams`` times as many."""
    bm25_k1: float = Field(1.5, ge=0)
    """How much a word that is repeated counts."""
    bm25_b: float = Field(0.75, ge=0, le=1)
    """How much long titles are held back."""

    # Training
    loss: Literal["trie", "free"] = "trie"
    """What a token is compared with: ``trie``, those with which a title of the catalogue can go on, so that nothing has
    to be learnt about how titles are spelt; ``free``, all tokens, so that anything can be written."""
    epochs: int = Field(10, ge=1)
    """Most epochs."""
    batch_size: int = Field(16, ge=1)
    """Pieces of histories, of ``history`` + 1 titles at most, per step; each title is a target."""
    learning_rate: Annotated[float, Search(5e-4, 1e-2, log=True)] = Field(4e-3, gt=0)
    """Of AdamW."""
    schedule: Literal["constant", "linear"] = "linear"
    """Of the learning rate: constant, or falling to 0 over the epochs."""
    weight_decay: float = Field(0.01, ge=0)
    """Of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    precision: Precision = "auto"
    """Of training; ``auto``: bfloat16 where the device is made for it."""

    @model_validator(mode="after")
    def _fits(self) -> TitlesConfig:
        if self.embedding_size % self.heads:
            raise ValueError(f"embedding_size {self.embedding_size} is no multiple of heads {self.heads}")
        if self.finetuning == "lora" and self.backbone == "scratch":
            raise ValueError("finetuning=lora needs a pretrained backbone: use finetuning=full with backbone=scratch")
        if self.loss == "trie" and self.grounding == "bm25":
            raise ValueError("grounding=bm25 writes freely: use loss=free")
        return self

    @property
    def adapters(self) -> Adapters:
        """Those that the config describes."""
        return Adapters(self.lora_rank, self.lora_alpha, self.lora_dropout, self.lora_modules)

    @property
    def most_tokens(self) -> int:
        """Of a history and the title behind it."""
        return 1 + (self.history + 1) * (self.title_tokens + 1)


OF_GROUNDING = {"grounding", "num_beams", "items_per_query", "bm25_k1", "bm25_b"}
"""Fields that change how lists are made of a language model, and not the language model."""

_FREE: dict[str, Any] = {"grounding": "bm25", "num_beams": 20, "loss": "free"}

_GPT2: dict[str, Any] = {"backbone": "gpt2", "finetuning": "lora", "loss": "free"}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {},
    "quick-bm25": _FREE,
    "gpt2": {**_GPT2, "batch_size": 16, "learning_rate": 5e-4, "epochs": 5},
}
