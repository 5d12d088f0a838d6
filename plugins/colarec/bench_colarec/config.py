"""Everything about ColaRec that can be chosen, its presets, and the ablations of the paper."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from bench_torchkit.schedules import Precision
from pydantic import Field, model_validator

from bench import ModelConfig, Search

SPARE = 4
"""Dimensions of a network from scratch that hold something else than the vectors that it begins from."""


class Lengths(NamedTuple):
    """How much of a history fits into an input."""

    history: int
    """Items of a user input when recommending: the latest ones."""
    item_tokens: int
    """Text tokens of an item."""
    tokens: int
    """Ids of a whole input."""
    sampled: int
    """Items of a user input in training: a sample of the history."""
    users: int
    """Users of an item input."""


LENGTHS = {
    "tiny": Lengths(10, 8, 96, 8, 4),
    "short": Lengths(20, 30, 256, 10, 1),
    "mlshort": Lengths(40, 30, 256, 20, 1),
    "micshort": Lengths(20, 35, 256, 15, 1),
    "long": Lengths(40, 50, 500, 30, 1),
    "wide": Lengths(100, 8, 512, 100, 4),
}
"""The settings of the authors' release, ``tiny`` for a CPU, and ``wide`` for long histories of short texts or none."""


class TeacherConfig(ModelConfig):
    """Collaborative vectors, and how much of EASE is mixed into what they teach."""

    vectors_file: str | None = None
    """An .npz file with ``items`` (n_items, d) and perhaps ``users`` (n_users, d) in place of a LightGCN."""
    vectors_size: int = Field(64, ge=2)
    """Dimensions of the LightGCN."""
    vectors_layers: int = Field(3, ge=0)
    """Propagation layers of the LightGCN."""
    vectors_passes: int = Field(200, ge=1)
    """Most passes over the interactions in which the LightGCN is trained."""
    cold_texts: bool = False
    """Whether an item without interactions may get vector, identifier and place in the teacher from the item that is
    most like it by text. It does unless validation is better without: where new items are rare, as in a random split,
    they only take the places of others."""
    ease_weight: Annotated[float, Search(0.0, 2.0)] = Field(0.25, ge=0)
    """Of EASE in the teacher, beside the vectors; the scores of both are standardized. Only if a teacher is used."""
    ease_l2: float = Field(250.0, gt=0)
    """λ of this EASE."""


class ColaRecConfig(TeacherConfig):
    """All options of ColaRec."""

    # Identifiers
    gid_source: Literal["lightgcn", "text", "minilm", "random", "published"] = "lightgcn"
    """Vectors that the identifiers are clustered from; ``published`` takes those that come with the data set."""
    codes: int = Field(3, ge=1, le=8)
    """Codes of an identifier (l of the paper)."""
    codebook_size: int | None = Field(None, ge=2)
    """Codes to choose from at each position (K of the paper); the smallest that suits the catalogue if left out."""

    # Inputs
    lengths: Literal["tiny", "short", "mlshort", "micshort", "long", "wide"] = "tiny"
    """How much of a history fits into an input; ``short`` to ``long`` are those of the release."""
    item_tokens: int | None = Field(None, ge=1)
    """Text tokens of an item, in place of what ``lengths`` says."""
    item_users: int | None = Field(None, ge=0)
    """Users of an item input, in place of what ``lengths`` says."""
    content: bool = True
    """Whether an item brings its text."""
    item_ids: bool = True
    """Whether an item brings an embedding of its own (the atom of the paper)."""
    positions: bool = False
    """Whether the ids of an input have position embeddings within their item."""
    index_inputs: Literal["paper", "release"] = "paper"
    """``release``: the item inputs of L_index and L_bpr have no users, as in the authors' code."""

    # Network
    backbone: str = "scratch"
    """``scratch``, or a pretrained T5: a name on the Hugging Face hub, or a local folder."""
    embedding_size: int = Field(64, ge=4)
    """d_model of a network from scratch."""
    layers: int = Field(2, ge=1)
    """Of the encoder and of the decoder, from scratch."""
    heads: int = Field(4, ge=1)
    """Attention heads, from scratch."""
    feed_forward: int = Field(128, ge=1)
    """d_ff of a network from scratch."""
    dropout: Annotated[float, Search(0.0, 0.3)] = Field(0.0, ge=0, lt=1)
    """Dropout of the network."""
    tokenizer: str | None = None
    """Local folder of a tokenizer for a network from scratch; one is trained on the item texts if left out."""
    vocab_size: int = Field(8192, ge=300)
    """Size of the tokenizer that is trained on the item texts."""
    codebook: Literal["position", "prefix"] = "prefix"
    """One table of codes per position (paper), or one per prefix: code 7 after 3 is not code 7 after 4."""
    tied: bool = True
    """Score codes with their own embeddings (paper), or with a separate output layer (release)."""
    init: Literal["random", "vectors"] = "vectors"
    """Initial embeddings: random (paper), or made of the collaborative vectors."""
    held_out: float = Field(0.2, ge=0, lt=1)
    """Share of the train interactions that are targets, and that the vectors of the initial embeddings do not know; 0:
    all are both."""

    # Losses
    rec_weight: float = Field(1.0, ge=0)
    """Of L_rec, which generates the identifier of a target from a user input."""
    index_weight: Annotated[float, Search(0.0, 1.0)] = Field(0.1, ge=0)
    """Of L_index, which generates the identifier of an item from its item input."""
    bpr_weight: float = Field(1.0, ge=0)
    """Of L_bpr, which ranks the target above a negative item."""
    contrastive_weight: float = Field(0.1, ge=0)
    """Of L_c, which draws items together that share the beginning of their identifiers."""
    negative_sampling: Literal["uniform", "batch"] = "batch"
    """Negatives of L_bpr: an item at random whose first code is another one than the target's (as L_c wants it, which
    the paper shares it with), or all other targets of the batch."""
    loss: Literal["bpr", "sampled_softmax"] = "sampled_softmax"
    """L_bpr as in the paper, or with negatives from the batch a softmax corrected for how often items are drawn."""

    # Training
    samples: Literal["interaction", "user", "taught"] = "user"
    """A sample is an interaction and some of the others (paper), a user with several targets, or a user with targets
    that a teacher (:mod:`bench_colarec.teacher`) holds for best among what the user has not seen."""
    targets: Annotated[int, Search(1, 8)] = Field(4, ge=1)
    """Targets of a sample that is a user: at most, or, if taught, exactly so many draws."""
    epoch_samples: int = Field(10_000, ge=1)
    """Samples of a pass at least, if taught: few users come several times, each time with other draws."""
    epoch_passes: int = Field(1, ge=1)
    """Passes of an epoch, if taught. Validation and its stopping rule come after each epoch: where a pass changes the
    score by less than the users of a validation err, a look at each ends a training by chance."""
    teacher_items: int = Field(200, ge=1)
    """Unseen items of each user that the teacher draws from, its best."""
    teacher_spread: Annotated[float, Search(4.0, 100.0, log=True, only_if=("samples", "taught"))] = Field(24.0, ge=1)
    """Over how many items the draws of the median user spread: the perplexity of softmax(sharpness · score), in which
    the sharpness follows from it. At most a quarter of ``teacher_items``, or of the catalogue."""
    epochs: int = Field(5, ge=1)
    """Passes over the samples; if taught, times ``epoch_passes``."""
    batch_size: int = Field(256, ge=1)
    """Samples per step."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Parts that a batch is computed in, to save memory."""
    learning_rate: Annotated[float, Search(2e-4, 4e-3, log=True)] = Field(1e-3, gt=0)
    """Of AdamW."""
    embedding_rate: float = Field(0.0, ge=0)
    """Learning rate of the embeddings that begin from vectors, as a share of ``learning_rate``, which others have."""
    schedule: Literal["constant", "linear"] = "linear"
    """Of the learning rate: constant (paper), or falling to 0 over ``epochs`` after a short warm-up."""
    weight_decay: float = Field(0.01, ge=0)
    """Of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    precision: Precision = "auto"
    """``auto``: bfloat16 where the device is made for it."""

    # Recommending
    decoding: Literal["beams", "exact"] = "exact"
    """Beam search (paper), or the log-probability of every item."""
    num_beams: int = Field(100, ge=1)
    """Of the beam search."""
    score: Literal["generate", "match", "both"] = "generate"
    """log P(identifier | user) (paper), the product h(user) · h(item) of L_bpr, or their weighted sum."""
    match_weight: Annotated[float, Search(0.3, 10.0, log=True, only_if=("score", "both"))] = Field(3.0, ge=0)
    """Of the product in the sum."""

    @model_validator(mode="after")
    def _fits(self) -> ColaRecConfig:
        if self.backbone == "scratch" and self.embedding_size % self.heads:
            raise ValueError(f"embedding_size {self.embedding_size} is no multiple of heads {self.heads}")
        if not (self.rec_weight or self.index_weight or self.bpr_weight or self.contrastive_weight):
            raise ValueError("with all weights of losses at 0 nothing is trained: raise rec_weight")
        if not (self.content or self.item_ids):
            raise ValueError("with neither content nor item_ids all histories look the same: choose one of them")
        if self.backbone == "scratch" and self.init == "vectors" and self.embedding_size <= SPARE:
            raise ValueError(
                f"embedding_size {self.embedding_size} has no room for vectors beside {SPARE} other dimensions: raise "
                "it, or choose init=random"
            )
        return self

    @property
    def input_lengths(self) -> Lengths:
        """``lengths`` with what replaces it."""
        found = LENGTHS[self.lengths]
        changes = {"item_tokens": self.item_tokens, "users": self.item_users}
        return found._replace(**{name: value for name, value in changes.items() if value is not None})


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"score": "both", "vectors_passes": 50},
    "distilled": {
        "lengths": "wide",
        "content": False,
        "cold_texts": True,
        "tied": False,
        "index_weight": 0.0,
        "bpr_weight": 0.0,
        "contrastive_weight": 0.0,
        "samples": "taught",
        "targets": 8,
        "epochs": 10,
        "epoch_passes": 2,
        "learning_rate": 2e-3,
        "embedding_rate": 1.0,
        "decoding": "beams",
        "num_beams": 100,
    },
    "paper": {
        "codebook_size": 32,
        "lengths": "short",
        "backbone": "t5-small",
        "codebook": "position",
        "init": "random",
        "rec_weight": 0.08,
        "index_weight": 0.08,
        "bpr_weight": 1.0,
        "contrastive_weight": 0.1,
        "negative_sampling": "uniform",
        "loss": "bpr",
        "dropout": 0.1,
        "samples": "interaction",
        "epochs": 80,
        "batch_size": 128,
        "learning_rate": 5e-4,
        "embedding_rate": 1.0,
        "schedule": "constant",
        "decoding": "beams",
        "num_beams": 100,
        "score": "generate",
    },
}

ABLATIONS: dict[str, dict[str, Any]] = {
    "no_index": {"index_weight": 0.0},
    "no_bpr": {"bpr_weight": 0.0},
    "no_contrastive": {"contrastive_weight": 0.0},
    "no_content": {"content": False},
    "no_item_ids": {"item_ids": False, "content": True},  # something has to tell items apart
    "release_inputs": {"index_inputs": "release"},
    "gid_random": {"gid_source": "random"},
    "gid_text": {"gid_source": "text"},
    "two_codes": {"codes": 2},
    "generate_only": {"score": "generate"},
    "match_only": {"score": "match"},
    "random_init": {"init": "random", "embedding_rate": 1.0},
    "seen_targets": {"held_out": 0.0},
    "one_codebook": {"codebook": "position"},
}
"""Section 4.4 of the paper (losses, identifiers, content, ids), and what this implementation adds."""
