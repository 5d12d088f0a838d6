"""The models of the next item."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from bench_torchkit.attention import SASRecBlock
from bench_torchkit.next_item import NextItemModel
from bench_torchkit.rows import Sequences
from bench_torchkit.trainer import Settings
from torch import nn

from bench import Context, Interactions
from bench_neural.sequences.config import BSARecConfig, HSTUConfig, SASRecConfig, SequenceConfig
from bench_neural.sequences.layers import BSARecBlock, HSTUBlock
from bench_neural.sequences.network import Network
from bench_neural.sequences.training import Training


class SequenceModel(NextItemModel):
    """What they share: a subclass has a config and makes a block."""

    distributed = True
    config: SequenceConfig

    @abstractmethod
    def make_block(self) -> nn.Module:
        """One block of the network."""

    @property
    def input_dropout(self) -> float:
        """Of what goes into the first block."""
        return self.config.dropout

    def network_options(self) -> dict[str, Any]:
        """What else its network is told."""
        return {}

    def network(self, n_items: int) -> Network:
        """With initial weights."""
        config = self.config
        return Network(
            n_items,
            config.embedding_size,
            config.max_length,
            config.layers,
            self.input_dropout,
            self.make_block,
            item_dropout=config.item_dropout,
            positions=config.positions,
            initial_range=config.initializer_range,
            **self.network_options(),
        )

    def fit(self, train: Interactions, valid: Interactions, context: Context) -> None:
        """Predict each next item from those before it.

        Raises
        ------
        DataError
            If the data have no times, so that there is no next item.
        PluginError
            If the network sees at one place what it has to predict there.
        """
        config = self.config
        train.require_times()
        sequences = Sequences(train, config.max_length, config.targets, config.batch_size)
        torch.manual_seed(context.seed)
        network = self.network(train.n_items).to(context.device)
        training = Training(config, network, sequences, context.seed)
        self.learn(training, Settings(config.max_grad_norm, averaging=config.averaging), train, context)


class SASRec(SequenceModel):
    """Self-attention over the history (Kang and McAuley, ICDM 2018), all next items of a user in one pass."""

    Config = SASRecConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "softmax": {"loss": "softmax"},
        "bce": {"loss": "bce", "negatives": 1, "negatives_of": "target"},
    }
    config: SASRecConfig

    def make_block(self) -> nn.Module:
        """Attention."""
        c = self.config
        return SASRecBlock(c.embedding_size, c.heads, c.inner_size, c.dropout, c.attention_dropout)


class BSARec(SequenceModel):
    """Attention beside a filter of slow changes (Shin et al., AAAI 2024), trained on all beginnings of a history."""

    Config = BSARecConfig
    config: BSARecConfig

    def make_block(self) -> nn.Module:
        """Attention and filter."""
        c = self.config
        return BSARecBlock(
            c.embedding_size,
            c.heads,
            c.inner_size,
            c.dropout,
            c.attention_dropout,
            length=c.max_length,
            frequencies=c.frequencies,
            filter_share=c.filter_share,
        )


class HSTU(SequenceModel):
    """Gated attention without soft-max, with distances in time (Zhai et al., ICML 2024), small."""

    Config = HSTUConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}, "softmax": {"loss": "softmax"}}
    config: HSTUConfig

    @property
    def input_dropout(self) -> float:
        """One of its own."""
        return self.config.input_dropout

    def network_options(self) -> dict[str, Any]:
        """By cosines or products; its blocks begin with a norm."""
        return {"temperature": self.config.temperature, "norm": "behind"}

    def make_block(self) -> nn.Module:
        """Gated attention."""
        c = self.config
        return HSTUBlock(c.embedding_size, c.heads, c.head_size, c.dropout, c.max_length, to_next=c.times == "next")
