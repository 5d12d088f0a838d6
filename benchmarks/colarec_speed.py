"""ColaRec of the plugin beside ColaRec as one writes it with transformers: lists, and one training step.

    python benchmarks/colarec_speed.py [--raw-dir DIR] [--device cuda] [--threads 1] [--clock processor] [--smoke]

The literal list maker is ``generate`` of transformers with a dict of prefixes, at the best batch size of several. The
literal step encodes users, positive, negative and contrastive items in four calls, lets T5's decoder write each
identifier by itself, and counts an item in L_index as often as it occurs. Both sides have the settings of the preset
``paper`` but a network from scratch, the same weights and the same batches; lists and losses are compared. Data:
``colarec-phone`` if there are raw files, else made-up ones. Sides take turns, medians count. ``--smoke`` is a run of
seconds that writes nothing.

``benchmarks/records/colarec_speed.json`` holds under ``literal`` what this script found. Its other parts were made by a
longer version of it, at the revisions beside them: a literal implementation with a Dataset that tokenizes and without
length buckets, shares of the time by stage, and memory.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from bench_colarec.config import PRESETS, ColaRecConfig
from bench_colarec.network.backbone import make
from bench_colarec.network.inputs import Inputs
from bench_colarec.network.network import Network
from bench_colarec.network.parts import Parts
from bench_colarec.prepare import prepare, read
from bench_colarec.ranker import Ranker
from bench_colarec.training.sampling import Batch, Sampler
from bench_colarec.training.step import Step
from torch import Tensor
from torch.nn import functional
from transformers import T5Config, T5ForConditionalGeneration

from bench import UNFILLED, Interactions, Recommendations
from bench.data.catalog import card
from bench.data.prepare import prepare as prepare_data
from bench.data.protocol import protocol
from bench.data.split import split
from bench.testing import LocalContext, MemorySplit, block_interactions

RECORD = Path(__file__).parent / "records" / "colarec_speed.json"
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}
K, ROUNDS, AT_ONCE = 20, 3, (1, 2, 4, 8)
"""Length of lists; rounds; users at once that ``generate`` is tried with."""


def load(raw_dir: Path | None) -> MemorySplit:
    """Train and texts; with raw files those of the authors' release, identifiers included."""
    if raw_dir is None:
        return block_interactions(300, 400, noise=0.5)
    visible = split(prepare_data(card("colarec-phone"), raw_dir), protocol("published")).visible
    found = MemorySplit(visible.train, visible.valid)
    found.items = visible.item_texts()
    return found


class LiteralLists:
    """Lists by ``generate``: one table of codes for all positions, and a dict of what may follow a prefix."""

    def __init__(self, config: ColaRecConfig, parts: Parts, device: str) -> None:
        torch.manual_seed(0)
        self.config, self.inputs = config, parts.inputs
        width = parts.tree.width
        shape = T5Config(
            vocab_size=width, d_model=config.embedding_size, d_kv=config.embedding_size // config.heads,
            d_ff=config.feed_forward, num_layers=config.layers, num_heads=config.heads, decoder_start_token_id=0,
            pad_token_id=0, eos_token_id=None, attn_implementation="sdpa",
        )  # fmt: skip
        self.t5: Any = T5ForConditionalGeneration(shape).to(device).eval()
        self.network = Network(self.t5.encoder, self.t5.decoder, parts, config).to(device).eval()
        with torch.no_grad():
            self.network.begin.copy_(self.t5.shared.weight[0])
            for book in self.network.codebooks.inputs:
                book.get_parameter("weight").copy_(self.t5.shared.weight)
        codes = [tuple(code) for code in parts.tree.codes.tolist()]
        self.item = {code: item for item, code in enumerate(codes)}
        self.below: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for code in sorted(codes):
            for t in range(len(code)):
                if code[t] not in self.below[code[:t]][-1:]:
                    self.below[code[:t]].append(code[t])
        self.everything = list(range(width))  # where there are fewer prefixes than beams, some stand on others

    @torch.inference_mode()
    def recommend(self, history: Interactions, exclude: Interactions, at_once: int) -> Recommendations:
        """Lists (n, K): what is excluded is left out behind the search."""
        items = np.full((history.n_users, K), UNFILLED, np.int32)
        scores = np.full(items.shape, -np.inf, np.float32)
        beams, lengths = self.config.num_beams, self.config.input_lengths
        for begin in range(0, history.n_users, at_once):
            rows = history.select(np.arange(begin, min(begin + at_once, history.n_users)))
            latest = rows.latest(lengths.history)
            inputs = self.inputs.users(latest.indptr, latest.items, lengths.tokens)
            ids = torch.from_numpy(inputs.ids).to(self.network.device)
            found = self.t5.generate(
                inputs_embeds=self.network.table(ids), attention_mask=(ids != 0).long(), num_beams=beams,
                num_return_sequences=beams, length_penalty=0.0, max_new_tokens=3, do_sample=False,
                prefix_allowed_tokens_fn=lambda _, s: self.below.get(tuple(s[1:].tolist()), self.everything),
                return_dict_in_generate=True, output_scores=True,
            )  # fmt: skip
            codes = found.sequences[:, 1:].reshape(rows.n_users, beams, 3).tolist()
            reached = found.sequences_scores.reshape(rows.n_users, beams).tolist()
            for row in range(rows.n_users):
                seen = set(exclude.items[exclude.indptr[begin + row] : exclude.indptr[begin + row + 1]].tolist())
                pairs = [(self.item.get(tuple(c), -1), s) for c, s in zip(codes[row], reached[row], strict=True)]
                kept = [(item, score) for item, score in pairs if item >= 0 and item not in seen][:K]
                for place, (item, score) in enumerate(kept):
                    items[begin + row, place], scores[begin + row, place] = item, score
        return Recommendations(items, scores)


def compare_lists(config: ColaRecConfig, data: MemorySplit, parts: Parts, options: argparse.Namespace) -> Any:
    """Users a second of both sides, for the users with the longest inputs."""
    literal = LiteralLists(config, parts, options.device)
    ranker = Ranker(config, literal.network, parts)
    chosen = np.argsort(-data.train.lengths, kind="stable")[: options.users]
    history = data.train.select(chosen)
    # The plugin leaves out inside the tree, where it makes room for more: beams are compared without.
    nothing = history.where(np.zeros(len(history), bool))
    expected, found = literal.recommend(history, nothing, 2), ranker.recommend(history, nothing, K)
    sides: dict[str, Callable[[], Any]] = {"plugin": lambda: ranker.recommend(history, history, K)}
    for size in AT_ONCE:
        sides[f"generate, {size} at once"] = lambda size=size: literal.recommend(history, history, size)
    seconds = turns(sides, options)
    best = min(value for name, value in seconds.items() if name != "plugin")
    return {
        "users": len(chosen),
        "users_per_second": {name: round(len(chosen) / value, 2) for name, value in seconds.items()},
        "ratio": round(best / seconds["plugin"], 2),
        "equal_lists": round(float((expected.items == found.items).all(1).mean()), 4),
    }


def literal_losses(step: Step, network: Network, batch: Batch, rng: np.random.Generator) -> dict[str, Tensor]:
    """The four losses, each kind of input encoded by itself, each identifier written by T5's decoder."""
    items = step._items(batch, rng)
    shown = step._item_inputs(items, batch, rng)
    own = step.inputs.users(batch.indptr, batch.history, step.lengths.tokens)
    rows = torch.from_numpy(batch.rows)

    def encode(inputs: Inputs, chosen: Any) -> tuple[Tensor, Tensor, Tensor]:
        lengths = torch.from_numpy(inputs.lengths[chosen])
        ids = torch.from_numpy(inputs.ids[chosen][:, : int(lengths.max())]).to(network.device)
        states = network.encoder(inputs_embeds=network.table(ids), attention_mask=(ids != 0).long()).last_hidden_state
        return states, (ids != 0).long(), states[torch.arange(len(ids)), lengths - 1]

    def cross_entropy(encoded: tuple[Tensor, Tensor, Tensor], targets: np.ndarray) -> Tensor:
        codes = torch.from_numpy(step.sampler.tree.codes[targets]).long().to(network.device)
        books = [book.get_parameter("weight") for book in network.codebooks.inputs]
        given = [network.begin.expand(len(codes), -1), *(books[t][codes[:, t]] for t in range(codes.shape[1] - 1))]
        hidden = network.decoder.stack(
            inputs_embeds=torch.stack(given, 1), encoder_hidden_states=encoded[0], encoder_attention_mask=encoded[1]
        ).last_hidden_state * (network.hidden_size**-0.5)
        logits = torch.stack([hidden[:, t] @ book.T for t, book in enumerate(books)], 1)
        return functional.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="sum") / len(codes)

    user = encode(own, rows.numpy())
    positive, negative, sibling = (encode(shown, at) for at in (items.positive, items.negative, items.sibling))
    has = torch.from_numpy(items.has_sibling).to(network.device)
    apart = -functional.logsigmoid((positive[2] * (sibling[2] - negative[2])).sum(-1))
    return {
        "rec": cross_entropy(user, batch.targets),
        "index": (
            cross_entropy(positive, batch.targets) + cross_entropy(negative, items.distinct[items.negative])
        ) / 2,
        "bpr": -functional.logsigmoid((user[2] * (positive[2] - negative[2])).sum(-1)).mean(),
        "contrastive": (apart * has).sum() / has.sum().clamp(min=1),
    }  # fmt: skip


def compare_steps(config: ColaRecConfig, parts: Parts, sampler: Sampler, options: argparse.Namespace) -> Any:
    """Samples a second of both sides, and their losses on the first batch."""
    torch.manual_seed(0)
    network = make(config, parts, None).to(options.device)
    step = Step(config, network, parts, sampler)
    batches = [batch for batch, _ in zip(step.batches(1), range(options.steps), strict=False)]
    ways = {"plugin": lambda net, batch, rng: step.loss(batch, rng), "literal": partial(literal_losses, step)}
    networks = {"plugin": network, "literal": copy.deepcopy(network)}
    losses, sides = {}, {}
    for name, net in networks.items():
        optimizer = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, fused=name == "plugin")
        with torch.no_grad():
            values = ways[name](net, batches[0], np.random.default_rng(0))
            losses[name] = {loss: round(float(value), 4) for loss, value in values.items()}

        def train(name: str = name, net: Network = net, optimizer: Any = optimizer) -> None:
            for batch in batches:
                step.total(ways[name](net, batch, np.random.default_rng(0))).backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(net.parameters(), config.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

        sides[name] = train
    seconds = turns(sides, options)
    samples = sum(len(batch.users) for batch in batches)
    return {
        "samples": samples,
        "samples_per_second": {name: round(samples / value, 1) for name, value in seconds.items()},
        "ratio": round(seconds["literal"] / seconds["plugin"], 2),
        "losses_of_a_batch": losses,
    }


def turns(sides: dict[str, Callable[[], Any]], options: argparse.Namespace) -> dict[str, float]:
    """Median seconds of each side; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, work in sides.items():
            begin = CLOCKS[options.clock]()
            work()
            if options.device != "cpu":
                torch.cuda.synchronize()
            times[name].append(CLOCKS[options.clock]() - begin)
    return {name: statistics.median(found) for name, found in times.items()}


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--raw-dir", type=Path, default=os.environ.get("BENCH_RAW_DIR"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="processor: for one thread on a CPU")
    parser.add_argument("--users", type=int, default=48, help="whose lists are made")
    parser.add_argument("--steps", type=int, default=4, help="batches of a round")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, made-up data, no record")
    options = parser.parse_args()
    if options.smoke:
        vars(options).update(raw_dir=None, users=4, steps=2)
    return options


def main() -> None:
    options = read_options()
    torch.set_num_threads(options.threads)
    data = load(options.raw_dir)
    sizes = {"embedding_size": 128, "heads": 4, "feed_forward": 256, "num_beams": 100, "batch_size": 128}
    if options.smoke:
        sizes = {"embedding_size": 16, "heads": 2, "feed_forward": 20, "num_beams": 10, "batch_size": 16}
    source = "random" if options.raw_dir is None else "published"
    changes = {"backbone": "scratch", "layers": 2, "dropout": 0.0, "gid_source": source, **sizes}
    config = ColaRecConfig(**{**PRESETS["paper"], **changes})
    with tempfile.TemporaryDirectory() as folder:
        context = LocalContext(None, data, Path(folder))  # type: ignore[arg-type]
        parts, sampler = prepare(config, data.train, context, None, read(config, context, data.train.n_items))
    record = {
        "settings": {"data": "made up" if options.raw_dir is None else "colarec-phone", **sizes},
        "machine": {"device": options.device, "threads": options.threads, "clock": options.clock},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "lists": compare_lists(config, data, parts, options),
        "step": compare_steps(config, parts, sampler, options),
    }
    print(json.dumps(record, indent=2))
    if not options.smoke:
        whole = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
        RECORD.write_text(json.dumps({**whole, "literal": record}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
