"""Everything about the GPT-2 recommender that can be chosen; named choices are in ``presets``."""

from __future__ import annotations

from typing import Annotated, Literal

from bench_torchkit.adapters import Adapters
from bench_torchkit.schedules import Precision
from pydantic import Field, model_validator

from bench import ModelConfig, Search


class Gpt2RecConfig(ModelConfig):
    """All options of ``gpt2rec``, ``gpt2rec-basic`` and ``gpt2rec-ids``."""

    # Texts
    text: bool = True
    """Whether users and items have texts; without, the network is one of ids alone."""
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

    # Text encoder
    backbone: str = "scratch"
    """``scratch``, ``minilm`` (the package of the extra of that name), or a pretrained causal or encoder model: a name
    on the Hugging Face hub, such as ``gpt2``, or a local folder."""
    finetuning: Literal["frozen", "lora", "full"] = "full"
    """What of the encoder is trained where it is trained, see ``strategy``."""
    lora_rank: int = Field(8, ge=1)
    """Rank of the adapters (r of LoRA)."""
    lora_alpha: int = Field(32, ge=1)
    """Scale of the adapters (α of LoRA)."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the adapters."""
    lora_modules: tuple[str, ...] | None = None
    """Names of the modules that get adapters; those usual for the kind of model if left out."""
    gradient_checkpointing: bool = False
    """Whether activations of the encoder are computed twice instead of kept: less memory, a third slower."""
    vocab_size: int = Field(4096, ge=300)
    """Most tokens of the tokenizer that is trained on the texts, for an encoder from scratch."""
    tokenizer: str | None = None
    """Local folder of a tokenizer for an encoder from scratch, in place of a trained one."""
    text_hidden_size: int = Field(64, ge=4)
    """Hidden size of an encoder from scratch, a GPT-2."""
    text_layers: int = Field(2, ge=1)
    """Layers of an encoder from scratch."""
    text_heads: int = Field(2, ge=1)
    """Attention heads of an encoder from scratch."""

    # Network
    embedding_size: int = Field(128, ge=2)
    """Dimensions of the id embeddings, and of texts beside them."""
    fusion: Literal["attention", "pooled", "concat"] = "attention"
    """How an id meets its text: as the query of attention over the states of the tokens, or over their mean (where
    attention is always 1), or side by side with the mean."""
    attention_size: int = Field(64, ge=1)
    """Dimensions of queries, keys and values, over all heads."""
    heads: int = Field(4, ge=1)
    """Attention heads of the fusion."""
    scorer: Literal["product", "mlp", "both"] = "product"
    """The score: product of the two vectors and a bias of the item, a network over both vectors, or their sum."""
    hidden_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field((64, 32), min_length=1)
    """Hidden layers of the network over both vectors."""
    initializer_range: float = Field(0.1, gt=0)
    """Standard deviation of the initial id embeddings."""
    dropout: Annotated[float, Search(0.0, 0.5)] = Field(0.0, ge=0, lt=1)
    """Dropout of fused vectors."""

    # Losses
    negatives: int = Field(256, ge=1)
    """Negative items, drawn at random and shared by a batch; a user's own items do not count."""
    adversarial_temperature: Annotated[float, Search(0.0, 2.0)] = Field(1.0, ge=0)
    """α of the self-adversarial weights softmax(α · score) over negatives (Sun et al., RotatE, ICLR 2019, equation 5);
    0 weights all equally."""
    contrastive_weight: float = Field(0.01, ge=0)
    """λ of InfoNCE between the ids and the texts of the users and items of a batch."""
    contrastive_batch_size: int = Field(256, ge=2)
    """Users, and items, of a batch that InfoNCE compares: its cost grows with the square."""
    contrastive_temperature: float = Field(0.1, gt=0)
    """Of InfoNCE."""

    # Training
    strategy: Literal["cached", "dynamic", "two-stage"] = "cached"
    """``cached``: the encoder is never trained and its states are computed once; ``dynamic``: it reads inside each
    training step and learns; ``two-stage``: first the one and then the other."""
    epochs: int = Field(40, ge=1)
    """Most epochs, where there is one stage."""
    cached_epochs: int = Field(10, ge=1)
    """Most epochs of the first of two stages."""
    dynamic_epochs: int = Field(20, ge=1)
    """Most epochs of the second of two stages."""
    batch_size: int = Field(2048, ge=1)
    """Interactions per step."""
    learning_rate: Annotated[float, Search(1e-3, 2e-2, log=True)] = Field(6e-3, gt=0)
    """Of AdamW."""
    encoder_learning_rate: float = Field(5e-4, gt=0)
    """Learning rate of the encoder."""
    schedule: Literal["constant", "linear"] = "linear"
    """Of the learning rates: constant, or falling to 0 over all epochs, those of both stages together."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW, for all but id embeddings."""
    l2: Annotated[float, Search(1e-3, 0.2, log=True)] = Field(0.02, ge=0)
    """Weight in the loss of the squared vectors (of ids with texts) of users, positive and negative items."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    precision: Precision = "auto"
    """Of the encoder in training; ``auto``: bfloat16 where the device is made for it."""

    @model_validator(mode="after")
    def _fits(self) -> Gpt2RecConfig:
        if self.attention_size % self.heads:
            raise ValueError(f"attention_size {self.attention_size} is no multiple of heads {self.heads}")
        if self.text_hidden_size % self.text_heads:
            raise ValueError(f"text_hidden_size {self.text_hidden_size} is no multiple of text_heads {self.text_heads}")
        if self.trains_encoder and self.finetuning == "frozen":
            raise ValueError(f"strategy={self.strategy} trains the encoder: use strategy=cached with finetuning=frozen")
        if self.trains_encoder and self.finetuning == "lora" and self.backbone == "scratch":
            raise ValueError("finetuning=lora needs a pretrained backbone: use finetuning=full with backbone=scratch")
        return self

    @property
    def adapters(self) -> Adapters:
        """Those that the config describes."""
        return Adapters(self.lora_rank, self.lora_alpha, self.lora_dropout, self.lora_modules)

    @property
    def trains_encoder(self) -> bool:
        """Whether the encoder learns at some time."""
        return self.text and self.strategy != "cached"

    @property
    def by_token(self) -> bool:
        """Whether the states of all tokens are needed, or only their mean."""
        return self.fusion == "attention"
