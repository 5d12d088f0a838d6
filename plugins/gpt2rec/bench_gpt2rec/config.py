"""Everything about the GPT-2 recommender that can be chosen; named choices are in ``presets``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from bench.contract import ModelConfig


class Gpt2RecConfig(ModelConfig):
    """All options of ``gpt2rec``, ``gpt2rec-basic`` and ``gpt2rec-ids``."""

    # Texts
    text: bool = True
    """Whether users and items bring texts; without, the network is one of ids alone."""
    item_tokens: int = Field(16, ge=1)
    """Most tokens of an item's text."""
    user_tokens: int = Field(32, ge=1)
    """Most tokens of the text of a user, where the data set describes users."""
    user_text: Literal["auto", "profile", "history"] = "auto"
    """What describes a user: the text of the data set, or the texts of the latest items of the history; ``auto`` takes
    the first if there is one."""
    history: int = Field(5, ge=1)
    """Items of the history that describe a user."""
    history_tokens: int = Field(8, ge=1)
    """Tokens of each of their texts that attention reads: mostly the title, which comes first."""

    # Encoder
    backbone: str = "scratch"
    """``scratch``, ``minilm`` (the package of the extra of that name), or a pretrained causal or encoder model: a name
    on the Hugging Face hub, such as ``gpt2``, or a local folder."""
    adapt: Literal["frozen", "lora", "full"] = "full"
    """What of the encoder is trained where it is trained, see ``strategy``."""
    lora_rank: int = Field(8, ge=1)
    """Rank of the adapters (r of LoRA)."""
    lora_alpha: int = Field(32, ge=1)
    """Scale of the adapters (α of LoRA)."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the adapters."""
    lora_modules: tuple[str, ...] | None = None
    """Names of the modules that get adapters; those usual for the kind of model if left out."""
    checkpointing: bool = False
    """Whether states inside the encoder are computed twice instead of kept: less memory, a third slower."""
    vocabulary: int = Field(4096, ge=300)
    """Most tokens of the tokenizer that is trained on the texts, for an encoder from scratch."""
    tokenizer: str | None = None
    """Local folder of a tokenizer for an encoder from scratch, in place of a trained one."""
    text_width: int = Field(64, ge=4)
    """Width of an encoder from scratch, a GPT-2."""
    text_layers: int = Field(2, ge=1)
    """Layers of an encoder from scratch."""
    text_heads: int = Field(2, ge=1)
    """Attention heads of an encoder from scratch."""

    # Network
    width: int = Field(128, ge=2)
    """Dimensions of the id embeddings, and of texts beside them."""
    fusion: Literal["attention", "pooled", "concat"] = "attention"
    """How an id meets its text: as the query of attention over the states of the tokens, or over their mean (where
    attention is always 1), or side by side with the mean."""
    attention_width: int = Field(64, ge=1)
    """Dimensions of queries, keys and values, over all heads."""
    heads: int = Field(4, ge=1)
    """Attention heads of the fusion."""
    head: Literal["product", "mlp", "both"] = "product"
    """The score: product of the two vectors and a bias of the item, a network over both vectors, or their sum."""
    hidden: tuple[int, ...] = Field((64, 32), min_length=1)
    """Hidden layers of the network over both vectors."""
    start_scale: float = Field(0.1, gt=0)
    """Standard deviation of the id embeddings at first."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout of fused vectors."""

    # Losses
    negatives: int = Field(256, ge=1)
    """Negative items, drawn at random and shared by a batch; a user's own items do not count."""
    hardness: float = Field(1.0, ge=0)
    """Weight of a negative is its score to the power of this, soft-max over negatives; 0: all the same."""
    contrast_weight: float = Field(0.01, ge=0)
    """λ of InfoNCE between the ids and the texts of the users and items of a batch."""
    contrast_batch: int = Field(256, ge=2)
    """Users, and items, of a batch that InfoNCE compares: its cost grows with the square."""
    temperature: float = Field(0.1, gt=0)
    """Of InfoNCE."""

    # Training
    strategy: Literal["cached", "dynamic", "two-stage"] = "two-stage"
    """The encoder is never trained and its states are computed once; or it reads inside each training step and learns;
    or first the one and then the other."""
    epochs: int = Field(40, ge=1)
    """Most epochs, where there is one stage."""
    cached_epochs: int = Field(10, ge=1)
    """Most epochs of the first of two stages."""
    dynamic_epochs: int = Field(20, ge=1)
    """Most epochs of the second of two stages."""
    batch: int = Field(2048, ge=1)
    """Interactions per step."""
    learning_rate: float = Field(6e-3, gt=0)
    """Of AdamW."""
    encoder_rate: float = Field(5e-4, gt=0)
    """Learning rate of the encoder."""
    schedule: Literal["constant", "linear"] = "linear"
    """Of the learning rates: constant, or falling to 0 over the epochs of a stage."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW, for all but id embeddings."""
    regularisation: float = Field(0.02, ge=0)
    """Weight in the loss of the squared vectors (of ids with texts) of users, positive and negative items."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the encoder in training; ``auto``: bfloat16 where the device is made for it."""

    @model_validator(mode="after")
    def _fits(self) -> Gpt2RecConfig:
        if self.attention_width % self.heads:
            raise ValueError(f"attention_width {self.attention_width} is no multiple of heads {self.heads}")
        if self.text_width % self.text_heads:
            raise ValueError(f"text_width {self.text_width} is no multiple of text_heads {self.text_heads}")
        if self.text and self.strategy != "cached":
            if self.adapt == "frozen":
                raise ValueError(f"strategy={self.strategy} trains the encoder: use strategy=cached with adapt=frozen")
            if self.adapt == "lora" and self.backbone == "scratch":
                raise ValueError("adapt=lora needs a pretrained backbone: use adapt=full with backbone=scratch")
        return self

    @property
    def trains_encoder(self) -> bool:
        """Whether the encoder learns at some time."""
        return self.text and self.strategy != "cached"
