"""The network: a T5 encoder and decoder over assembled embeddings."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Stack

from bench.errors import BenchError
from bench_colarec.codebooks import Codebooks
from bench_colarec.config import ColaRecConfig
from bench_colarec.decoder import Memory, ShortDecoder
from bench_colarec.inputs import Inputs
from bench_colarec.parts import Parts
from bench_colarec.tokens import PAD


class Encoded(NamedTuple):
    """Inputs after the encoder."""

    states: Tensor
    """(n, L, d)."""
    mask: Tensor
    """(n, L): true where there is an input."""
    summary: Tensor
    """(n, d): h(X), the state at EOS."""

    def rows(self, chosen: slice | Tensor) -> Encoded:
        """Some of the inputs."""
        return Encoded(self.states[chosen], self.mask[chosen], self.summary[chosen])


class Network(nn.Module):
    """Encoder, decoder, the table of slots and the codebooks."""

    def __init__(self, encoder: T5Stack, decoder: T5Stack, parts: Parts, config: ColaRecConfig) -> None:
        super().__init__()
        slots, tree = parts.slots, parts.tree
        width = encoder.config.d_model
        self.encoder = encoder
        self.decoder = ShortDecoder(decoder)
        self.table = nn.Embedding(slots.size, width)
        self.places = nn.Embedding(slots.most_places, width) if config.positions else None
        self.begin = nn.Parameter(torch.empty(width))
        self.codebooks = Codebooks(tree, width, config.codebook == "prefix", config.tied, width**-0.5)
        for embedding in [self.table, self.places, *self.codebooks.inputs]:
            if embedding is not None:
                nn.init.normal_(embedding.weight)
        nn.init.normal_(self.begin)
        if not config.tied:
            for output in self.codebooks.outputs:
                nn.init.normal_(output.weight, std=width**-0.5)

    def stacks(self) -> dict[str, T5Stack]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder.stack}

    @property
    def width(self) -> int:
        """d_model."""
        return self.table.embedding_dim

    @property
    def device(self) -> torch.device:
        return self.begin.device

    def encode(self, inputs: Inputs) -> Encoded:
        """States of a padded batch."""
        slots = torch.from_numpy(inputs.slots).to(self.device, non_blocking=True)
        embeddings = self.table(slots)
        if self.places is not None:
            embeddings = embeddings + self.places(torch.from_numpy(inputs.places).to(self.device, non_blocking=True))
        mask = slots != PAD
        states = self.encoder(inputs_embeds=embeddings, attention_mask=mask.long()).last_hidden_state
        ends = torch.from_numpy(inputs.lengths - 1).to(self.device)
        return Encoded(states, mask, states[torch.arange(len(ends), device=ends.device), ends])

    def memory(self, encoded: Encoded) -> Memory:
        """What the decoder reads of encoded inputs."""
        return self.decoder.memory(encoded.states, encoded.mask)

    def write(self, encoded: Encoded, nodes: Tensor) -> Tensor:
        """Log-probabilities of identifiers, with teacher forcing.

        Parameters
        ----------
        encoded
            n inputs.
        nodes
            (n, m, length + 1) nodes on the way to each of m identifiers per input.

        Returns
        -------
        (n, m, length) log-probability of each token.
        """
        memory, past, found = self.memory(encoded), None, []
        n, m, levels = nodes.shape
        tokens = self.begin.expand(n, m, self.width)
        for level in range(levels - 1):
            states, past = self.decoder.step(tokens, past, memory)
            at = nodes[..., level]
            log_probs = self.codebooks.log_probs(level, states, at)
            taken = self.codebooks.children_of(level, at) == nodes[..., level + 1, None]
            found.append(log_probs.masked_fill(~taken, 0.0).sum(-1))
            tokens = self.codebooks.embed(level + 1, nodes[..., level + 1])
        return torch.stack(found, -1)


class Pretrained(NamedTuple):
    """What a network takes over from a pretrained T5."""

    encoder: T5Stack
    decoder: T5Stack
    tokens: Tensor
    """(vocabulary, d): embeddings."""


def load(config: ColaRecConfig) -> Pretrained | None:
    """The pretrained T5 that ``config`` names, or None for a network from scratch.

    Raises
    ------
    BenchError
        If the config does not fit together, or the pretrained T5 cannot be had.
    """
    if config.backbone != "scratch":
        return pretrained(config)
    if config.width % config.heads:
        raise BenchError(f"colarec: width {config.width} is no multiple of heads {config.heads}: change one of them")
    return None


def make(config: ColaRecConfig, parts: Parts, loaded: Pretrained | None) -> Network:
    """A network that was not trained yet on these data, with random weights or those that :func:`load` found."""
    if loaded is None:
        shape = _shape(config)
        return Network(T5Stack(_role(shape, False)), T5Stack(_role(shape, True)), parts, config)
    found = Network(loaded.encoder, loaded.decoder, parts, config)
    with torch.no_grad():
        # Atoms and users are as large as tokens, so that none of them drowns the others.
        found.table.weight.mul_(loaded.tokens.std())
        n = min(len(loaded.tokens), parts.slots.n_tokens)
        found.table.weight[:n] = loaded.tokens[:n]
    return found


def of_shape(config: ColaRecConfig, parts: Parts, shape: dict[str, dict[str, Any]]) -> Network:
    """A network with random weights and the stacks that ``shape`` describes, to load weights into."""
    stacks = [T5Stack(T5Config(**{**shape[name], "attn_implementation": "sdpa"})) for name in ("encoder", "decoder")]
    return Network(stacks[0], stacks[1], parts, config)


def _shape(config: ColaRecConfig) -> T5Config:
    return T5Config(
        vocab_size=2,  # ids are never given to it
        d_model=config.width,
        d_kv=config.width // config.heads,
        d_ff=config.feed_forward,
        num_layers=config.layers,
        num_decoder_layers=config.layers,
        num_heads=config.heads,
        dropout_rate=config.dropout,
        attn_implementation="sdpa",
    )


def _role(shape: T5Config, is_decoder: bool) -> T5Config:
    found = copy.deepcopy(shape)
    found.is_decoder = is_decoder
    found.use_cache = False
    return found


def pretrained(config: ColaRecConfig) -> Pretrained:
    """A T5 from the hub or a local folder.

    Raises
    ------
    BenchError
        If it cannot be had, or is no T5.
    """
    try:
        kind = AutoConfig.from_pretrained(config.backbone).model_type
        if kind not in ("t5", "mt5"):
            raise ValueError(f"it is a model of type '{kind}'")
        model, about = T5ForConditionalGeneration.from_pretrained(
            config.backbone, dropout_rate=config.dropout, attn_implementation="sdpa", output_loading_info=True
        )
        if missing := sorted(about["missing_keys"]):
            raise ValueError(f"{len(missing)} of its weights are missing, such as {missing[0]}")
    except (OSError, ValueError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        raise BenchError(_unreachable(config.backbone, error)) from error
    found = Pretrained(model.encoder, model.decoder, model.shared.weight.detach().clone())
    for stack in (found.encoder, found.decoder):
        stack.set_input_embeddings(nn.Embedding(2, stack.config.d_model))  # ids are never given to it
        stack.config.vocab_size = 2
    return found


def _unreachable(backbone: str, error: Exception) -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    reason = " ".join(str(error).split())[:160]
    if Path(backbone).is_dir():
        return f"colarec: the folder {backbone} holds no T5: {reason}"
    return (
        f"colarec: backbone '{backbone}' is neither a folder nor in the cache {HF_HUB_CACHE}, and the model hub did "
        f"not give it: {reason}; give a local folder with --set colarec.backbone=FOLDER, or use the preset quick, "
        "which needs none"
    )
