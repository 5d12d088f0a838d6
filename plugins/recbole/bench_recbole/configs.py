"""Typed configs of the models with a short name. Names and defaults are RecBole's, but where a comment says why not."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bench import ModelConfig, Search

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[Positive, Search(1e-4, 1e-2, log=True)]
Size = Annotated[Count, Search(choices=(32, 64, 128))]
Penalty = Annotated[Weight, Search(1e-7, 1e-2, log=True)]
Dropout = Annotated[Share, Search(0.0, 0.6)]


class TrainingConfig(ModelConfig):
    """What all models share."""

    epochs: Count = 300
    """Most epochs; the stopping rule of the benchmark may end training earlier."""
    learning_rate: Rate = 0.001
    """Step size of Adam."""
    train_batch_size: Count = 2048
    """Training rows in a batch: positives and, for models that learn from labels, their sampled negatives."""
    weight_decay: Weight = 0.0
    """L2 penalty on all parameters, applied by the optimizer."""


class SampledConfig(TrainingConfig):
    """What all models share that learn from sampled negatives."""

    negative_samples: Annotated[Count, Search(choices=(1, 2, 5))] = 1
    """Items drawn uniformly for each positive, never one that the user has in train."""


class SequentialConfig(TrainingConfig):
    """What all sequential models share."""

    max_seq_length: Count = 50
    """A user's latest items that the model sees."""


class BPRConfig(SampledConfig):
    """Hyper-parameters of BPR."""

    embedding_size: Size = 64
    """Length of the user and item vectors."""


class NeuMFConfig(SampledConfig):
    """Hyper-parameters of NeuMF, also known as NCF."""

    mf_embedding_size: Size = 64
    """Length of the vectors of the matrix factorization half."""
    mlp_embedding_size: Size = 64
    """Length of the vectors of the perceptron half."""
    mlp_hidden_size: tuple[Count, ...] = Field((128, 64), min_length=1)
    """Widths of the perceptron's layers."""
    dropout_prob: Dropout = 0.1
    """Dropout before each layer of the perceptron."""
    mf_train: bool = True
    """Whether there is a matrix factorization half."""
    mlp_train: bool = True
    """Whether there is a perceptron half."""


class NGCFConfig(SampledConfig):
    """Hyper-parameters of NGCF."""

    embedding_size: Size = 64
    """Length of the user and item vectors."""
    hidden_size_list: tuple[Count, ...] = Field((64, 64, 64), min_length=1)
    """Widths of the graph convolutions."""
    node_dropout: Share = 0.0
    """Share of edges dropped from the graph."""
    message_dropout: Dropout = 0.1
    """Dropout after each convolution."""
    reg_weight: Penalty = 1e-5
    """L2 penalty on the vectors of a batch."""


class LightGCNConfig(SampledConfig):
    """Hyper-parameters of LightGCN."""

    # Every batch propagates over the whole graph. RecBole has batches of 2048 and a rate of 0.001 (preset ``recbole``);
    # half as many batches halve the time of an epoch on a CPU. Trained to the end with these two, ml-100k takes 40 s on
    # two cores.
    train_batch_size: Count = 4096
    """Training rows in a batch."""
    learning_rate: Rate = 0.005
    """Step size of Adam."""
    embedding_size: Size = 64
    """Length of the user and item vectors."""
    n_layers: Annotated[Count, Search(1, 4)] = 2
    """Propagation steps over the graph."""
    reg_weight: Penalty = 1e-5
    """L2 penalty on the initial vectors of a batch."""


class SimpleXConfig(SampledConfig):
    """Hyper-parameters of SimpleX."""

    embedding_size: Size = 64
    """Length of the user and item vectors."""
    margin: float = Field(0.5, ge=-1, le=1)
    """Cosine below which a negative costs nothing."""
    negative_weight: Annotated[Weight, Search(1.0, 100.0, log=True)] = 10.0
    """Weight of the negatives against the positive."""
    gamma: float = Field(0.5, ge=0, le=1)
    """Share of the user vector against that of the history."""
    aggregator: Literal["mean", "user_attention", "self_attention"] = "mean"
    """How the items of the history become one vector."""
    history_len: Count = 50
    """Latest items of a user that make up the history."""
    reg_weight: Penalty = 1e-5
    """L2 penalty on the vectors of a batch."""
    dropout_prob: Dropout = 0.1
    """Dropout on the user's vector."""


class NCLConfig(SampledConfig):
    """Hyper-parameters of NCL."""

    embedding_size: Size = 64
    """Length of the user and item vectors."""
    n_layers: Annotated[Count, Search(1, 4)] = 3
    """Propagation steps over the graph."""
    reg_weight: Penalty = 1e-4
    """L2 penalty on the initial vectors of a batch."""
    ssl_temp: Annotated[Positive, Search(0.05, 0.5, log=True)] = 0.1
    """Temperature of both contrasts."""
    ssl_reg: Weight = 1e-7
    """Weight of the contrast with structural neighbours."""
    hyper_layers: Count = 1
    """Which layer holds the structural neighbours: the even one with this half."""
    alpha: Weight = 1.0
    """Weight of items against users in the structural contrast."""
    proto_reg: Weight = 8e-8
    """Weight of the contrast with cluster centres."""
    num_clusters: Count = 1000
    """Clusters of users, and of items; but never more than a third of their number."""
    m_step: Count = 1
    """Epochs between two clusterings."""
    warm_up_step: int = Field(20, ge=0)
    """Epochs before the contrast with cluster centres sets in."""


class MultiVAEConfig(TrainingConfig):
    """Hyper-parameters of MultiVAE."""

    mlp_hidden_size: tuple[Count, ...] = (600,)
    """Widths of the layers between input and latent vector."""
    latent_dimension: int = Field(128, ge=2, multiple_of=2)
    """Length of mean and log variance of the latent vector together."""
    dropout_prob: Dropout = 0.5
    """Dropout on the input."""
    anneal_cap: Annotated[Weight, Search(0.05, 1.0)] = 0.2
    """Largest weight of the divergence from the prior."""
    total_anneal_steps: int = Field(200_000, ge=0)
    """Batches until the weight of the divergence would be 1; 0 for the largest weight at once."""


class NextItemConfig(SequentialConfig):
    """What the sequential models with a short name share."""

    loss_type: Literal["CE", "BPR"] = "CE"
    """``CE``: soft-max over all items. ``BPR``: the next item against one drawn at random."""


class TransformerConfig(NextItemConfig):
    """What the two transformers share."""

    n_layers: Annotated[Count, Search(1, 4)] = 2
    """Transformer layers."""
    n_heads: Count = 2
    """Attention heads of a layer."""
    hidden_size: Count = 64
    """Length of the item vectors and hidden states, a multiple of ``n_heads``."""
    inner_size: Count = 256
    """Width of the feed-forward layers."""
    hidden_dropout_prob: Dropout = 0.5
    """Dropout on hidden states."""
    attn_dropout_prob: Dropout = 0.5
    """Dropout on attention weights."""
    hidden_act: Literal["gelu", "relu", "swish", "tanh", "sigmoid"] = "gelu"
    """Activation of the feed-forward layers."""
    layer_norm_eps: Positive = 1e-12
    """Added to the variance in layer normalization."""
    initializer_range: Positive = 0.02
    """Standard deviation of the initial weights."""


class SASRecConfig(TransformerConfig):
    """Hyper-parameters of SASRec."""


class BERT4RecConfig(TransformerConfig):
    """Hyper-parameters of BERT4Rec."""

    hidden_dropout_prob: Dropout = 0.2
    """Dropout on hidden states."""
    attn_dropout_prob: Dropout = 0.2
    """Dropout on attention weights."""
    mask_ratio: float = Field(0.2, gt=0, le=1)
    """Share of the items of a sequence that are masked."""
    ft_ratio: float = Field(0.5, ge=0, le=1)
    """Share of batches in which only the last item is masked, as it is when recommending."""


class GRU4RecConfig(NextItemConfig):
    """Hyper-parameters of GRU4Rec."""

    embedding_size: Size = 64
    """Length of the item vectors."""
    hidden_size: Count = 128
    """Length of the hidden state."""
    num_layers: Count = 1
    """Recurrent layers."""
    dropout_prob: Dropout = 0.3
    """Dropout on the item vectors."""
