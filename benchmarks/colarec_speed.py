"""ColaRec of the plugin beside ColaRec as one writes it with transformers: speed and memory, in one run.

    python benchmarks/colarec_speed.py [--raw-dir DIR] [--device cuda] [--threads 2] [--smoke]

The literal side: a Dataset that tokenises in ``__getitem__``, a DataLoader that pads each batch, four encoder calls a
step, teacher forcing by T5's decoder, torch's default AdamW; lists by ``generate`` with a dict of prefixes. Both sides
have the settings of the preset ``paper``, but a network from scratch, and do the same work; for lists they have the
same weights too, and the lists are compared. Data: ``colarec-phone`` if there are raw files, else synthetic ones of
like lengths. Sides take turns. Targets, plugin to literal: 20 times the users a second at 100 beams, lists in at most
2.5 times the encoder's own seconds; 1.5 times the training samples a second on a CPU, 3 times on a GPU. ``--smoke`` is
a run of seconds that writes nothing; any other writes ``benchmarks/records/colarec_speed.json``. Where others use the
machine too: ``--threads 1 --clock processor``, as in the record.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import transformers
from bench_colarec import identifiers, recommender, search, tokens
from bench_colarec.codebooks import Codebooks
from bench_colarec.config import PRESETS, ColaRecConfig
from bench_colarec.decoder import ShortDecoder
from bench_colarec.inputs import ITEM_TASK, USER_TASK, Inputs, Slots
from bench_colarec.network import Encoded, Network, make
from bench_colarec.parts import Parts
from bench_colarec.recommender import Recommender
from bench_colarec.sampling import Sampler
from bench_colarec.step import Items, Step
from bench_colarec.training import Trainer, bfloat16
from bench_colarec.tree import tree
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset
from transformers import EncoderDecoderCache, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration
from transformers.generation.logits_process import PrefixConstrainedLogitsProcessor

from bench.contract import Interactions, Recommendations
from bench.data.catalog import card
from bench.data.prepare import prepare, split
from bench.data.protocol import protocol
from bench.runs import machine

RECORD = Path(__file__).parent / "records" / "colarec_speed.json"
TARGETS = {"lists": 20.0, "lists_to_encoder": 2.5, "training_cpu": 1.5, "training_cuda": 3.0}
K = 20


# ---------------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class World:
    """What both sides work on."""

    config: ColaRecConfig
    device: str
    train: Interactions
    history: Interactions
    texts: list[str]
    codes: np.ndarray
    tokenizer: tokens.Trained

    @cached_property
    def parts(self) -> Parts:
        table = tokens.table(self.tokenizer, self.texts, self.config.input_lengths.item_tokens)
        found = tree(self.codes, int(self.codes.max()) + 1)
        sampler = Sampler(self.train, found, 0)
        everyone, nobody = np.arange(self.train.n_items), np.zeros(0, np.int64)
        indptr, users = sampler.users_of(sampler.rng(0), everyone, self.config.input_lengths.users, nobody)
        shown = Interactions(indptr, users.astype(np.int32), np.zeros(len(users), np.int64), self.train.n_users)
        return Parts(found, table, shown, True)


def synthetic(users: int, items: int) -> tuple[Interactions, list[str]]:
    """Histories of 4 items and more, 6 at the mean, and texts of 8 to 40 words."""
    rng = np.random.default_rng(0)
    lengths = np.minimum(3 + rng.geometric(1 / 3, users), items // 2)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    found = np.concatenate([rng.choice(items, length, replace=False) for length in lengths]).astype(np.int32)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), rng.integers(2, 9))) for _ in range(3000)]
    texts = [" ".join(rng.choice(words, rng.integers(8, 41))) for _ in range(items)]
    return Interactions(indptr, found, np.arange(indptr[-1]), items), texts


def make_world(options: argparse.Namespace) -> World:
    changes = {"backbone": "scratch", "width": options.width, "layers": options.layers, "heads": options.heads}
    changes |= {"feed_forward": options.feed_forward, "batch": options.batch, "beams": options.beams}
    config = ColaRecConfig(**{**PRESETS["paper"], **changes, "precision": options.precision})
    if options.raw_dir and not options.smoke:
        parts = split(prepare(card("colarec-phone"), Path(options.raw_dir)), protocol("published"))
        train, history = parts.visible.train, parts.visible.parts("train+valid")
        table = parts.visible.item_texts()
        texts = [str(text) for text in table["text"]]
        codes = identifiers.published([str(gid) for gid in table["gid"]], train.n_items)
    else:
        train, texts = synthetic(*((200, 400) if options.smoke else (27_879, 10_429)))
        history, codes = train, identifiers.random_codes(train.n_items, 3, 32, 0)
    return World(config, options.device, train, history, texts, codes, tokens.train(texts, config.vocabulary))


def with_long_inputs(world: World, n: int) -> np.ndarray:
    """Users at random whose inputs are full, or those with the longest ones where there are too few."""
    blocks = world.parts.slots.blocks
    sizes = np.array([blocks[row[-20:]].sum() for row in np.split(world.history.items, world.history.indptr[1:-1])])
    full = np.flatnonzero(sizes + 2 > world.config.input_lengths.tokens)
    if len(full) < n:
        return np.sort(np.argsort(-sizes, kind="stable")[:n])
    return np.sort(np.random.default_rng(0).choice(full, n, replace=False))


# ------------------------------------------------------------------------------------------------------------- literal


class Text:
    """Items as the literal side reads them: an id of its own, then the tokens of its text, looked up and tokenised."""

    def __init__(self, world: World) -> None:
        self.texts = world.texts
        self.lengths = world.config.input_lengths
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_object=world.tokenizer.tokenizer, pad_token="<pad>")
        self.n_tokens, self.n_items, self.n_users = len(world.tokenizer), *world.train.shape[::-1]

    def blocks(self, items: list[int]) -> list[list[int]]:
        if not items:
            return []
        texts = [self.texts[item] for item in items]
        found = self.tokenizer(
            texts,
            add_special_tokens=False,
            truncation=True,
            max_length=self.lengths.item_tokens,
            return_attention_mask=False,
        )
        return [[self.n_tokens + item, *ids] for item, ids in zip(items, found["input_ids"], strict=True)]

    def user(self, blocks: list[list[int]]) -> Tensor:
        while sum(map(len, blocks)) > self.lengths.tokens - 2:
            blocks = blocks[1:]
        return self._framed(USER_TASK, blocks)

    def item(self, block: list[int], users: list[int]) -> Tensor:
        return self._framed(ITEM_TASK, [block, [self.n_tokens + self.n_items + user for user in users]])

    def _framed(self, task: int, blocks: list[list[int]]) -> Tensor:
        first = self.n_tokens + self.n_items + self.n_users
        return torch.tensor([first + task, *(slot for block in blocks for slot in block), tokens.EOS])


class Samples(Dataset[dict[str, Any]]):
    """An interaction with its user input and three items."""

    def __init__(self, world: World, chosen: np.ndarray) -> None:
        train = world.train
        users = train.users[chosen]
        self.chosen = list(zip(users.tolist(), (chosen - train.indptr[users]).tolist(), strict=True))
        self.rows = [row.tolist() for row in np.split(train.items, train.indptr[1:-1])]
        self.known = [set(row) for row in self.rows]
        self.text = Text(world)
        self.codes = world.codes.tolist()
        self.users_of = defaultdict(list)
        self.family = defaultdict(list)
        for user, row in enumerate(self.rows):
            for item in row:
                self.users_of[item].append(user)
        for item, gid in enumerate(self.codes):
            self.family[tuple(gid[:2])].append(item)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> dict[str, Any]:
        user, place = self.chosen[index]
        row, lengths = self.rows[user], self.text.lengths
        positive, others = row[place], row[:place] + row[place + 1 :]
        kept = sorted(random.sample(range(len(others)), min(lengths.sampled, len(others))))
        negative = random.randrange(len(self.codes))
        while negative in self.known[user] or self.codes[negative][0] == self.codes[positive][0]:
            negative = random.randrange(len(self.codes))
        relatives = [item for item in self.family[tuple(self.codes[positive][:2])] if item != positive]
        items = [positive, negative, random.choice(relatives or [positive])]
        blocks = self.text.blocks([others[at] for at in kept] + items)
        found: dict[str, Any] = {"user": self.text.user(blocks[:-3]), "has_relative": bool(relatives)}
        for name, item, block in zip(("positive", "negative", "relative"), items, blocks[-3:], strict=True):
            readers = [reader for reader in self.users_of[item] if reader != user]
            shown = random.sample(readers, min(lengths.users, len(readers)))
            found |= {name: self.text.item(block, shown), f"{name}_gid": self.codes[item]}
        return found


class Users(Dataset[Tensor]):
    """The inputs of users, of their latest items."""

    def __init__(self, world: World, rows: list[list[int]]) -> None:
        self.rows, self.text = rows, Text(world)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:
        return self.text.user(self.text.blocks(self.rows[index][-self.text.lengths.history :]))


def pad(inputs: list[Tensor]) -> Tensor:
    return pad_sequence(inputs, batch_first=True, padding_value=tokens.PAD)


def collate(samples: list[dict[str, Any]]) -> dict[str, Tensor]:
    inputs = {name: pad([one[name] for one in samples]) for name in ("user", "positive", "negative", "relative")}
    rest = ("positive_gid", "negative_gid", "has_relative")
    return inputs | {name: torch.tensor([one[name] for one in samples]) for name in rest}


class Literal(nn.Module):
    """T5 with a table of inputs, and a table of codes for each position."""

    def __init__(self, world: World) -> None:
        super().__init__()
        config, slots = world.config, world.parts.slots
        self.t5 = T5ForConditionalGeneration(
            T5Config(
                vocab_size=world.parts.tree.width,
                d_model=config.width,
                d_kv=config.width // config.heads,
                d_ff=config.feed_forward,
                num_layers=config.layers,
                num_heads=config.heads,
                dropout_rate=config.dropout,
                decoder_start_token_id=0,
                pad_token_id=0,
                eos_token_id=None,
                attn_implementation="sdpa",
            )
        )
        self.table = nn.Embedding(slots.size, config.width)
        self.books = nn.ModuleList(nn.Embedding(world.parts.tree.width, config.width) for _ in range(3))
        self.begin = nn.Parameter(torch.randn(config.width))
        self.weights = {name: getattr(config, f"{name}_weight") for name in ("rec", "index", "bpr", "contrastive")}
        self.slots = np.zeros(2)
        """Slots in use, and slots computed."""

    def encode(self, slots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States, mask, and the state at the end."""
        mask = (slots != tokens.PAD).long()
        states = self.t5.encoder(inputs_embeds=self.table(slots), attention_mask=mask).last_hidden_state
        self.slots += [int(mask.sum()), mask.numel()]
        return states, mask, states[torch.arange(len(slots), device=slots.device), mask.sum(1) - 1]

    def write(self, states: Tensor, mask: Tensor, gids: Tensor) -> Tensor:
        """Cross-entropy of identifiers, with teacher forcing."""
        given = [self.begin.expand(len(gids), -1), *(self.books[t](gids[:, t]) for t in range(2))]
        hidden = self.t5.decoder(
            inputs_embeds=torch.stack(given, 1),
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state * (self.t5.model_dim**-0.5)
        logits = torch.stack([hidden[:, t] @ self.books[t].weight.T for t in range(3)], 1)
        return functional.cross_entropy(logits.flatten(0, 1).float(), gids.flatten(), reduction="sum") / len(gids)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        user, positive, negative, relative = (
            self.encode(batch[name]) for name in ("user", "positive", "negative", "relative")
        )
        found = {"rec": self.write(*user[:2], batch["positive_gid"])}
        found["index"] = self.write(*positive[:2], batch["positive_gid"]) / 2
        found["index"] = found["index"] + self.write(*negative[:2], batch["negative_gid"]) / 2
        found["bpr"] = -functional.logsigmoid((user[2] * (positive[2] - negative[2])).sum(-1)).mean()
        apart = -functional.logsigmoid((positive[2] * (relative[2] - negative[2])).sum(-1))
        has = batch["has_relative"]
        found["contrastive"] = (apart * has).sum() / has.sum().clamp(min=1)
        return sum((self.weights[name] * value for name, value in found.items()), torch.zeros(()))


class LiteralLists:
    """Lists by ``generate``."""

    def __init__(self, world: World, model: Literal, at_once: int) -> None:
        self.world, self.model, self.at_once = world, model.eval(), at_once
        codes = world.codes.tolist()
        self.below: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for gid in sorted(codes):
            for t in range(3):
                if gid[t] not in self.below[tuple(gid[:t])][-1:]:
                    self.below[tuple(gid[:t])].append(gid[t])
        self.item = {tuple(gid): item for item, gid in enumerate(codes)}
        # Where fewer than ``beams`` prefixes exist, beams of minus infinity stand on others.
        self.everything = list(range(world.parts.tree.width))

    def allowed(self, _: int, sequence: Tensor) -> list[int]:
        return self.below.get(tuple(sequence[1:].tolist()), self.everything)

    @torch.inference_mode()
    def recommend(self, history: Interactions) -> Recommendations:
        rows = [row.tolist() for row in np.split(history.items, history.indptr[1:-1])]
        beams = self.world.config.beams
        items, scores = np.full((len(rows), K), -1, np.int32), np.full((len(rows), K), -np.inf, np.float32)
        loader = DataLoader(Users(self.world, rows), batch_size=self.at_once, collate_fn=pad)
        user = 0
        for padded in loader:
            slots = padded.to(self.world.device)
            found = self.model.t5.generate(
                inputs_embeds=self.model.table(slots),
                attention_mask=(slots != tokens.PAD).long(),
                num_beams=beams,
                num_return_sequences=beams,
                length_penalty=0.0,
                max_new_tokens=3,
                do_sample=False,
                use_cache=True,
                prefix_allowed_tokens_fn=self.allowed,
                return_dict_in_generate=True,
                output_scores=True,
            )
            sequences = found.sequences[:, 1:].reshape(len(slots), beams, 3).tolist()
            reached = found.sequences_scores.reshape(len(slots), beams).tolist()
            for gids, values in zip(sequences, reached, strict=True):
                seen, n = set(rows[user]), 0
                for gid, value in zip(gids, values, strict=True):
                    item = self.item.get(tuple(gid))
                    if item is not None and item not in seen and n < K:
                        items[user, n], scores[user, n], n = item, value, n + 1
                user += 1
        return Recommendations(items, scores)


# --------------------------------------------------------------------------------------------- trainings, step by step


class LiteralTraining:
    """The literal side."""

    def __init__(self, world: World, chosen: np.ndarray) -> None:
        torch.manual_seed(0)
        self.world, self.model = world, Literal(world).to(world.device).train()
        config = world.config
        weights = self.model.parameters()
        self.optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.loader = DataLoader(Samples(world, chosen), batch_size=config.batch, shuffle=True, collate_fn=collate)
        self.batches = self._batches()

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        while True:
            yield from self.loader

    def next_batch(self) -> dict[str, Tensor]:
        return next(self.batches)

    def step(self) -> None:
        world = self.world
        batch = {name: value.to(world.device) for name, value in self.next_batch().items()}
        kind = torch.device(world.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=bfloat16(world.config, world.device)):
            loss = self.model.loss(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), world.config.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def slots(self) -> np.ndarray:
        return self.model.slots


class Few(Sampler):
    """Some batches of an epoch, of all lengths alike: as many of the short ones as there are, and of the long ones."""

    steps = 1
    buckets = True

    def _bucketed(self, rng: np.random.Generator, lengths: Any, batch: int) -> list[np.ndarray]:
        found = [at for at in super()._bucketed(self.rng(0), lengths, batch) if len(at) == batch]
        found.sort(key=lambda at: lengths[at].mean())
        found = [found[int((n + 0.5) / self.steps * len(found))] for n in range(self.steps)]
        if not self.buckets:
            found = np.split(rng.permutation(np.concatenate(found)), self.steps)
        return [found[at] for at in rng.permutation(self.steps)]


class Apart(Step):
    """Positive, negative and contrastive items in three calls of the encoder, each as often as it occurs."""

    def _items(self, batch: Any, rng: np.random.Generator) -> Items:
        found = super()._items(batch, rng)
        roles = np.arange(3 * len(batch.rows)).reshape(3, -1)
        return Items(
            found.distinct[np.concatenate([found.positive, found.negative, found.relative])],
            *roles,
            found.has_relative,
        )


def in_three_calls(network: Network, slots: Slots, inputs: Inputs) -> Encoded:
    if inputs.slots[0, 0] != slots.task(ITEM_TASK):
        return Network.encode(network, inputs)
    thirds = [Inputs(*third) for third in zip(*(np.split(part, 3) for part in inputs), strict=True)]
    return Encoded(*map(torch.cat, zip(*(Network.encode(network, third) for third in thirds), strict=True)))


def in_one_forward(network: Network, encoded: Encoded, nodes: Tensor) -> Tensor:
    """``Network.write`` by T5's own forward, for one identifier per input."""
    books, levels = network.codebooks, range(nodes.shape[-1] - 1)
    given = [network.begin.expand(len(nodes), -1), *(books.embed(t, nodes[:, 0, t]) for t in list(levels)[1:])]
    hidden = network.decoder.stack(
        inputs_embeds=torch.stack(given, 1), encoder_hidden_states=encoded.states, encoder_attention_mask=encoded.mask
    ).last_hidden_state
    found = []
    for t in levels:
        log_probs = books.log_probs(t, hidden[:, None, t], nodes[..., t])
        taken = books.children_of(t, nodes[..., t]) == nodes[..., t + 1, None]
        found.append(log_probs.masked_fill(~taken, 0.0).sum(-1))
    return torch.stack(found, -1)


class PluginTraining:
    """The plugin's own step, whole or without one of its measures."""

    def __init__(self, world: World, steps: int, without: frozenset[str] = frozenset()) -> None:
        torch.manual_seed(0)
        parts = world.parts
        self.world = world
        self.network = make(world.config, parts, None).to(world.device).train()
        sampler = Few(world.train, parts.tree, 0)
        sampler.steps, sampler.buckets = steps, "buckets" not in without
        kind = Apart if "one call" in without else Step
        trained: Any = kind(world.config, self.network, parts.slots, parts.tree, sampler)
        self.trainer = Trainer(world.config, self.network, trained, None)  # type: ignore[arg-type]
        if "one call" in without:
            self.network.encode = partial(in_three_calls, self.network, parts.slots)
        if "short decoder" in without:
            self.network.write = partial(in_one_forward, self.network)
        self._slots = np.zeros(2)
        self.batches = self._batches()

    def _batches(self) -> Iterator[Any]:
        epoch = 0
        while True:
            epoch += 1
            for number, batch in enumerate(self.trainer.step.batches(epoch)):
                yield epoch, number, batch

    def next_batch(self) -> Any:
        return next(self.batches)

    def step(self) -> None:
        self.trainer._try_update(*self.next_batch())

    def slots(self) -> np.ndarray:
        """Of an epoch that is assembled once more."""
        found, encode = np.zeros(2), self.network.encode

        def count(inputs: Inputs) -> Encoded:
            found[:] += [inputs.lengths.sum(), inputs.slots.size]
            return encode(inputs)

        with mock.patch.object(self.network, "encode", count), torch.no_grad():
            for number, batch in enumerate(self.trainer.step.batches(1)):
                self.trainer.step.loss(batch, self.trainer.step.sampler.rng(1, number))
        return found


MEASURES = {
    "no length buckets": "buckets",
    "an encoder call per kind of item": "one call",
    "T5's decoder, not ShortDecoder": "short decoder",
}


# ---------------------------------------------------------------------------------------------------------- measuring


class Clock:
    """Seconds by label; what is called inside is not counted twice."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.spent: dict[str, float] = defaultdict(float)
        self._inside = [0.0]

    @contextmanager
    def at(self, label: str) -> Iterator[None]:
        self._inside.append(0.0)
        begin = now(self.device)
        yield
        total = now(self.device) - begin
        self.spent[label] += total - self._inside.pop()
        self._inside[-1] += total

    def watch(self, stack: ExitStack, owner: Any, name: str, label: str) -> None:
        original = getattr(owner, name)

        def timed(*given: Any, **named: Any) -> Any:
            with self.at(label):
                return original(*given, **named)

        stack.enter_context(mock.patch.object(owner, name, timed))

    def shares(self) -> dict[str, float]:
        total = sum(self.spent.values())
        return {label: round(value / total, 3) for label, value in self.spent.items()}


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
seconds_of = "wall"


def now(device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return CLOCKS[seconds_of]()


def seconds(device: str, work: Callable[[], Any]) -> float:
    begin = now(device)
    work()
    return now(device) - begin


def both(world: World, at_once: int) -> tuple[LiteralLists, Recommender]:
    """Both sides with the same plain T5, whose codes are the same at all positions."""
    torch.manual_seed(0)
    model = Literal(world).to(world.device).eval()
    network = Network(model.t5.encoder, model.t5.decoder, world.parts, world.config).to(world.device).eval()
    with torch.no_grad():
        network.table.weight.copy_(model.table.weight)
        network.begin.copy_(model.t5.shared.weight[0])
        for book in network.codebooks.inputs:
            book.weight.copy_(model.t5.shared.weight)
    return LiteralLists(world, model, at_once), Recommender(world.config, network, world.parts)


def measure_lists(world: World, options: argparse.Namespace) -> dict[str, Any]:
    chosen = with_long_inputs(world, options.users)
    history = world.history.select(chosen)
    literal, plugin = both(world, options.at_once)
    device, sizes = world.device, {}
    warm = history.select(np.arange(min(4, len(chosen))))
    literal.recommend(warm)
    plugin.recommend(history, history, K)
    for at_once in options.users_at_once:  # the literal side gets the batch that suits it best
        literal.at_once = at_once
        some = history.select(np.arange(min(2 * max(options.users_at_once), len(chosen))))
        sizes[at_once] = some.n_users / seconds(device, partial(literal.recommend, some))
    literal.at_once = max(sizes, key=sizes.__getitem__)

    inputs: list[Inputs] = []
    with mock.patch.object(Network, "encode", lambda net, given: inputs.append(given) or encode(net, given)):
        plugin.recommend(history, history, K)

    @torch.inference_mode()
    def encode_all() -> None:
        for given in inputs:
            plugin.network.encode(given)

    works = {
        "literal": partial(literal.recommend, history),
        "plugin": partial(plugin.recommend, history, history, K),
        "encoder alone": encode_all,
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.rounds):
        for name, work in works.items():
            for _ in range(1 if name == "literal" else 3):
                times[name].append(seconds(device, work))
    medians = {name: statistics.median(found) for name, found in times.items()}
    expected, found = works["literal"](), works["plugin"]()
    same = (expected.items == found.items).all(1)
    alike = expected.items == found.items
    filled = alike & (expected.items >= 0)
    shares = {"literal": shares_of_literal(literal, history), "plugin": shares_of_plugin(plugin, history)}
    searching = [medians[name] * (1 - shares[name]["encoder"]) for name in ("literal", "plugin")]
    gap = np.abs(expected.scores[filled] - found.scores[filled]).max(initial=0)
    return {
        "users": len(chosen),
        "mean_slots": round(float(sum(given.lengths.sum() for given in inputs) / len(chosen)), 1),
        "literal_users_per_second_by_batch": {str(size): round(rate, 2) for size, rate in sizes.items()},
        "users_per_second": {name: round(len(chosen) / value, 2) for name, value in medians.items()},
        "all_seconds": {name: [round(value, 3) for value in values] for name, values in times.items()},
        "ratio": round(medians["literal"] / medians["plugin"], 2),
        "ratio_without_the_encoder": round(searching[0] / searching[1], 2),
        "ratio_if_only_the_encoder_took_time": round(medians["literal"] / medians["encoder alone"], 2),
        "plugin_to_encoder_alone": round(medians["plugin"] / medians["encoder alone"], 2),
        "equal_lists": round(float(same.mean()), 4),
        "equal_places": round(float(alike.mean()), 4),
        "largest_difference_of_log_probabilities": float(gap),
        "shares": shares,
    }


encode = Network.encode


def shares_of_literal(literal: LiteralLists, history: Interactions) -> dict[str, float]:
    clock = Clock(literal.world.device)
    t5 = literal.model.t5
    with ExitStack() as stack:
        clock.watch(stack, Users, "__getitem__", "inputs: tokenising")
        clock.watch(stack, t5.encoder, "forward", "encoder")
        clock.watch(stack, t5.decoder, "forward", "decoder, with cross keys and values for every beam")
        clock.watch(stack, PrefixConstrainedLogitsProcessor, "__call__", "prefixes allowed, in Python")
        clock.watch(stack, EncoderDecoderCache, "reorder_cache", "caches reordered by beam")
        clock.watch(stack, t5, "generate", "rest of generate")
        with clock.at("identifiers to lists"):
            literal.recommend(history)
    return clock.shares()


def shares_of_plugin(plugin: Recommender, history: Interactions) -> dict[str, float]:
    clock = Clock(plugin.network.device.type)
    with ExitStack() as stack:
        clock.watch(stack, Slots, "users", "inputs: assembling")
        clock.watch(stack, Network, "encode", "encoder")
        clock.watch(stack, ShortDecoder, "memory", "cross keys and values, once per user")
        clock.watch(stack, ShortDecoder, "_look_back", "decoder: self-attention")
        clock.watch(stack, ShortDecoder, "_read", "decoder: cross-attention")
        clock.watch(stack, ShortDecoder, "step", "decoder: feed-forward and norms")
        clock.watch(stack, Codebooks, "log_probs", "scores of codes")
        clock.watch(stack, search, "choose", "past of the beams chosen")
        clock.watch(stack, recommender, "beam_search", "top-k and gathers")
        with clock.at("beams to lists"):
            plugin.recommend(history, history, K)
    return clock.shares()


def interactions_of(world: World, steps: int) -> np.ndarray:
    """The samples of the plugin's steps, for the literal side to train on."""
    sampler = Few(world.train, world.parts.tree, 0)
    sampler.steps = steps
    train = world.train
    lengths = np.minimum(train.lengths[train.users] - 1, world.config.input_lengths.sampled)
    return np.concatenate(sampler._bucketed(sampler.rng(1, 0), lengths, world.config.batch))


def measure_training(world: World, options: argparse.Namespace) -> dict[str, Any]:
    """Every side trains on the same samples: as many steps, in blocks by turns."""
    steps = options.steps
    chosen = interactions_of(world, steps)
    sides: dict[str, Any] = {"plugin": PluginTraining(world, steps), "literal": LiteralTraining(world, chosen)}
    for name, measure in MEASURES.items():
        sides[f"plugin: {name}"] = PluginTraining(world, steps, frozenset([measure]))
    sides["plugin: none of the three"] = PluginTraining(world, steps, frozenset(MEASURES.values()))
    for side in sides.values():
        side.step()  # not measured
        side.batches = side._batches()  # the measured steps are a whole epoch
    times: dict[str, list[float]] = {name: [] for name in sides}
    for begin in range(0, steps, options.block):
        for name, side in sides.items():
            for _ in range(min(options.block, steps - begin)):
                times[name].append(seconds(world.device, side.step))
    rates = {name: steps * world.config.batch / sum(found) for name, found in times.items()}
    used = {name: sides[name].slots() for name in ("plugin", "literal", "plugin: no length buckets")}
    kind = "cuda" if world.device.startswith("cuda") else "cpu"
    return {
        "samples": len(chosen),
        "batch": world.config.batch,
        "steps": steps,
        "samples_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "all_seconds": {name: [round(value, 3) for value in found] for name, found in times.items()},
        "ratio": round(rates["plugin"] / rates["literal"], 2),
        "target_ratio": TARGETS[f"training_{kind}"],
        "slots_in_use": {name: round(float(found[0] / found[1]), 3) for name, found in used.items()},
        "milliseconds_a_step": {name: milliseconds(sides[name], steps) for name in ("plugin", "literal")},
    }


def milliseconds(side: LiteralTraining | PluginTraining, steps: int) -> dict[str, float]:
    """Where the time of an average step goes."""
    clock = Clock(side.world.device)
    with ExitStack() as stack:
        clock.watch(stack, side, "next_batch", "data")
        if isinstance(side, LiteralTraining):
            clock.watch(stack, side.model, "encode", "encoder")
            clock.watch(stack, side.model, "write", "decoder")
            clock.watch(stack, side.model, "loss", "losses")
        else:
            for owner, name in ((Slots, "_assemble"), (Step, "_items"), (Sampler, "users_of")):
                clock.watch(stack, owner, name, "data")
            clock.watch(stack, side.network, "encode", "encoder")
            clock.watch(stack, side.network, "write", "decoder")
            clock.watch(stack, Step, "loss", "losses")
        clock.watch(stack, torch.Tensor, "backward", "backward")
        for _ in range(steps):
            with clock.at("clipping and AdamW"):
                side.step()
    return {label: round(value / steps * 1000, 1) for label, value in clock.spent.items()}


# ------------------------------------------------------------------------------------------------------------- memory


def _lists(world: World, options: argparse.Namespace, literal: bool) -> Callable[[], Any]:
    sides = both(world, options.at_once)
    history = world.history.select(with_long_inputs(world, options.users))
    if literal:
        return partial(sides[0].recommend, history.select(np.arange(min(2 * options.at_once, options.users))))
    return partial(sides[1].recommend, history, history, K)


def _training(world: World, options: argparse.Namespace, literal: bool) -> Callable[[], Any]:
    steps = min(4, options.steps)
    side: Any = LiteralTraining(world, interactions_of(world, steps)) if literal else PluginTraining(world, steps)
    return lambda: [side.step() for _ in range(steps)]


PEAKS = {
    "lists, literal": partial(_lists, literal=True),
    "lists, plugin": partial(_lists, literal=False),
    "training, literal": partial(_training, literal=True),
    "training, plugin": partial(_training, literal=False),
}


def memory_line(name: str) -> float:
    """A line of /proc/self/status in MiB."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) / 1024


def peak_mib(world: World, options: argparse.Namespace, name: str) -> float:
    """Above what data and weights take."""
    work = PEAKS[name](world, options)
    if world.device.startswith("cuda"):
        before = torch.cuda.memory_allocated() / 2**20
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() / 2**20 - before
    before = memory_line("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    work()
    return memory_line("VmHWM") - before


def measure_memory(world: World, options: argparse.Namespace) -> dict[str, Any]:
    """Each part in a process of its own."""
    found: dict[str, Any] = {}
    for name in PEAKS:
        if options.smoke:
            found[name] = round(peak_mib(world, options, name))
            continue
        command = [sys.executable, __file__, *sys.argv[1:], "--peak", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[name] = round(float(done.stdout.split()[-1]))
    return {"peak_mib": found, "users_at_once_by_generate": options.at_once}


MEASURE = {"lists": measure_lists, "training": measure_training, "memory": measure_memory}


# ------------------------------------------------------------------------------------------------------------- output


def line(name: str, *cells: Any) -> None:
    print((f"  {name:<58}" + "".join(f"{cell:>13}" for cell in cells)).rstrip())


def verdict(ratio: float, target: float, most: bool = False) -> str:
    return "reached" if (ratio <= target if most else ratio >= target) else "MISSED"


def show_lists(lists: dict[str, Any], beams: int) -> None:
    print(f"\nLists of {beams} beams, {lists['mean_slots']} slots a user, {lists['users']} users")
    line("users a second", "")
    for name, rate in lists["users_per_second"].items():
        line(f"  {name}", rate)
    line(f"plugin to literal (target {TARGETS['lists']})", lists["ratio"], verdict(lists["ratio"], TARGETS["lists"]))
    line("  without the encoder's time on both sides", lists["ratio_without_the_encoder"])
    line("  if the plugin did nothing but encode", lists["ratio_if_only_the_encoder_took_time"])
    found, target = lists["plugin_to_encoder_alone"], TARGETS["lists_to_encoder"]
    line(f"plugin's seconds to the encoder's alone (target {target})", found, verdict(found, target, most=True))
    line("equal lists, equal places", lists["equal_lists"], lists["equal_places"])
    line("largest difference of log-probabilities", f"{lists['largest_difference_of_log_probabilities']:.1e}")
    for name, shares in lists["shares"].items():
        line(f"where the time of {name} goes", "")
        for label, share in sorted(shares.items(), key=lambda pair: -pair[1]):
            line(f"  {label}", f"{share:.1%}")


def show_training(training: dict[str, Any]) -> None:
    print(f"\nTraining, batches of {training['batch']}, {training['samples']:,} samples a side")
    line("", "samples/s", "to literal")
    literal = training["samples_per_second"]["literal"]
    for name, rate in training["samples_per_second"].items():
        line(f"  {name}", rate, round(rate / literal, 2))
    target = training["target_ratio"]
    line(f"plugin to literal (target {target})", training["ratio"], verdict(training["ratio"], target))
    line("slots in use, of those computed", "")
    for name, share in training["slots_in_use"].items():
        line(f"  {name}", f"{share:.1%}")
    for name, parts in training["milliseconds_a_step"].items():
        line(f"milliseconds a step, {name}", "")
        for label, value in sorted(parts.items(), key=lambda pair: -pair[1]):
            line(f"  {label}", value)


def show(record: dict[str, Any]) -> None:
    """In lines of at most 100 columns."""
    if "lists" in record:
        show_lists(record["lists"], record["settings"]["beams"])
    if "training" in record:
        show_training(record["training"])
    if "memory" in record:
        print("\nPeak memory above data and weights")
        for name, value in record["memory"]["peak_mib"].items():
            line(f"  {name}", f"{value:,} MiB")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw-dir", type=Path, default=os.environ.get("BENCH_RAW_DIR"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=machine.cores())
    help_ = "processor: seconds of the processor, which others on the machine do not lengthen; for one thread alone"
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help=help_)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="of both sides")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--feed-forward", type=int, default=256)
    parser.add_argument("--beams", type=int, default=100)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4, help="training steps of each side")
    parser.add_argument("--block", type=int, default=1, help="steps until it is the next side's turn")
    parser.add_argument("--users", type=int, default=48, help="whose lists are made")
    parser.add_argument("--users-at-once", type=int, nargs="+", default=[1, 2, 4, 8], help="batches of generate to try")
    parser.add_argument("--rounds", type=int, default=3, help="of lists")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, synthetic data, no record")
    parser.add_argument("--at-once", type=int, default=8, help="users at once by generate where memory is measured")
    parser.add_argument(
        "--parts", nargs="+", choices=list(MEASURE), default=list(MEASURE), help="others stay as they are"
    )
    parser.add_argument("--peak", choices=list(PEAKS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.clock == "processor" and (options.threads != 1 or options.device != "cpu"):
        parser.error("--clock processor is for --threads 1 --device cpu")
    if options.smoke:
        tiny = {"width": 16, "heads": 2, "feed_forward": 20, "beams": 10, "batch": 16, "steps": 2, "users": 4}
        vars(options).update(tiny | {"users_at_once": [2], "rounds": 1})
    return options


def main() -> None:
    options = read_options()
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)
    torch.set_num_threads(options.threads)
    global seconds_of
    seconds_of = options.clock
    random.seed(0)
    torch.manual_seed(0)
    world = make_world(options)
    if options.peak:
        print(peak_mib(world, options, options.peak))
        return
    names = ("width", "layers", "heads", "feed_forward", "dropout", "lengths", "beams", "batch", "samples", "negatives")
    about = {
        "data": "synthetic" if options.smoke or not options.raw_dir else "colarec-phone",
        "users_items_interactions": [*world.train.shape, len(world.train)],
        "settings": {name: getattr(world.config, name) for name in names},
        "device": torch.cuda.get_device_name() if options.device.startswith("cuda") else "cpu",
        "bfloat16": bfloat16(world.config, options.device),
        "threads": options.threads,
        "clock": options.clock,
        "targets": TARGETS,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "hardware": machine.hardware(),
    }
    about = json.loads(json.dumps(about))
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() and not options.smoke else {}
    if any(record.get(name) != value for name, value in about.items()):
        record = about
    for part in options.parts:
        load = os.getloadavg()[0]
        record[part] = MEASURE[part](world, options)
        record[part]["load_average_before_and_after"] = [round(load, 2), round(os.getloadavg()[0], 2)]
        record[part]["git_revision"] = machine.git_revision()
        if not options.smoke:
            RECORD.parent.mkdir(exist_ok=True)
            RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    show(record)


if __name__ == "__main__":
    main()
