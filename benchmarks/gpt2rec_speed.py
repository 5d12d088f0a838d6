"""Speed of the GPT-2 recommender against the same done literally: training steps, and ranking.

    python benchmarks/gpt2rec_speed.py --raw-dir DIR [--threads 2] [--clock processor] [--parts dynamic cached ranking]

- dynamic: a training step on ml-100k at batch 1,024 whose texts are read inside it. Literally, each sample brings its
  texts and all of them are read; here each distinct text is read once. Same batch, same loss, same gradients.
- cached: a training step with states that were computed before, against the dynamic one.
- ranking: all items of colarec-phone for its users by a network over pairs, its first layer split in two halves,
  against batches of [user, item] pairs through the same layers; the pairs are timed on some users. Same scores.

Sides take turns; medians of seconds go to benchmarks/records/gpt2rec_speed.json, on a busy machine better those of the
processor with one thread. Literal sides run at the best of several batch sizes. A backbone from scratch is the preset
quick; minilm is the pretrained one with adapters.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent / "records" / "gpt2rec_speed.json"
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
clock = time.perf_counter


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--raw-dir", type=Path, default=os.environ.get("BENCH_RAW_DIR"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--parts", nargs="+", choices=["dynamic", "cached", "ranking"])
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)  # read when torch is imported
    import torch

    torch.set_num_threads(given.threads)
    global clock
    clock = CLOCKS[given.clock]
    parts = given.parts or ["dynamic", "cached", "ranking"]
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() and given.parts else {}
    for part in parts:
        record[part] = {
            "threads": given.threads,
            "clock": given.clock,
            **{"dynamic": dynamic, "cached": cached, "ranking": ranking}[part](given.raw_dir),
        }
        print(part, json.dumps(record[part], indent=2))
        RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def visible(name: str, raw_dir: Path | None) -> Any:
    """What a model sees of a data set, by the protocol of its card."""
    from bench.data.catalog import card
    from bench.data.prepare import prepare
    from bench.data.protocol import protocol
    from bench.data.split import split

    found = card(name)
    return split(prepare(found, raw_dir), protocol(found.protocol)).visible


def prepared(raw_dir: Path | None, backbone: str) -> tuple[Any, Any, Any]:
    """Config, untrained network and batches of 1,024 interactions of ml-100k."""
    import torch
    from bench_gpt2rec.model import Gpt2Rec
    from bench_gpt2rec.network import Network
    from bench_gpt2rec.sampling import Sampler

    from bench.testing import LocalContext

    data = visible("ml-100k", raw_dir)
    preset = Gpt2Rec.presets["minilm" if backbone == "minilm" else "quick"]
    config = Gpt2Rec.Config(**{**preset, "batch_size": 1024})
    model = Gpt2Rec(config)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        encoder = model._encoder(LocalContext(model, data, Path(folder)))
    network = Network(config, *data.train.shape, encoder)
    # Dropout would make the two sides differ.
    network.eval()
    sampler = Sampler(data.train, config.batch_size, config.negatives, config.history, 1)
    return config, network, sampler


def turns(sides: dict[str, Callable[[], object]], times: int) -> dict[str, float]:
    """Median seconds of each side, after one turn that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(times + 1):
        for name, side in sides.items():
            begin = clock()
            side()
            if turn:
                seconds[name].append(clock() - begin)
    return {name: statistics.median(found) for name, found in seconds.items()}


def read_literally(network: Any, batch: Any, size: int) -> tuple[Any, int, int]:
    """The loss of a batch whose samples each bring their texts; texts read in all, and how many are distinct."""
    import numpy as np
    import torch
    from bench_gpt2rec.encoder import States, TextFeatures
    from bench_torchkit.losses import bpr
    from bench_torchkit.ragged import padded

    encoder = network.encoder
    documents = encoder.documents

    def features(numbers: Any) -> Any:
        """Batches of texts in the order of the samples, padded to the longest of a batch."""
        states, masks = [], []
        for begin in range(0, len(numbers), size):
            at, mask = padded(documents.indptr, numbers[begin : begin + size])
            ids, real = torch.from_numpy(documents.ids[at]), torch.from_numpy(mask)
            states.append(encoder.model(input_ids=ids, attention_mask=real.long()).last_hidden_state)
            masks.append(real)
        longest = max(part.shape[1] for part in masks)
        tokens = torch.cat([torch.nn.functional.pad(s, (0, 0, 0, longest - s.shape[1])) for s in states])
        mask = torch.cat([torch.nn.functional.pad(m, (0, longest - m.shape[1])) for m in masks])
        return TextFeatures(States(tokens, mask), torch.arange(len(numbers))[:, None])

    texts = [documents.profiles[batch.users], documents.items[batch.positives], documents.items[batch.negatives]]
    users, positives, negatives = (torch.from_numpy(n) for n in (batch.users, batch.positives, batch.negatives))
    of_users = network.users(users, features(texts[0])).vectors
    of_positives = network.items(positives, features(texts[1])).vectors
    of_negatives = network.items(negatives, features(texts[2])).vectors
    scorer = network.scorer
    first = scorer.users(of_users)
    loss = bpr(
        scorer.score_pairs(first, scorer.items(of_positives, positives)),
        scorer.score_all(first, scorer.items(of_negatives, negatives)),
        torch.from_numpy(batch.allowed),
        1.0,
    )
    everything = np.concatenate(texts)
    return loss, len(everything), len(np.unique(everything))


def dynamic(raw_dir: Path | None) -> dict[str, Any]:
    """A step that reads each distinct text once, against one that reads the texts of each sample."""
    import torch
    from bench_gpt2rec.step import losses

    found: dict[str, Any] = {}
    for backbone, sizes, times in (("scratch", (64, 256, 1024), 7), ("minilm", (64,), 1)):
        config, network, sampler = prepared(raw_dir, backbone)
        plain = config.model_copy(update={"contrastive_weight": 0.0, "l2": 0.0, "adversarial_temperature": 1.0})
        batch = next(sampler.batches(1))

        def once(network: Any = network, plain: Any = plain, batch: Any = batch) -> Any:
            network.zero_grad(set_to_none=True)
            loss = losses(plain, network, batch)["total"]
            loss.backward()
            return loss.detach(), network.items.ids.weight.grad.clone()

        def literally(size: int, network: Any = network, batch: Any = batch) -> Any:
            network.zero_grad(set_to_none=True)
            loss, _, _ = read_literally(network, batch, size)
            loss.backward()
            return loss.detach(), network.items.ids.weight.grad.clone()

        ours, theirs = once(), literally(sizes[0])
        torch.testing.assert_close(ours[0], theirs[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours[1], theirs[1], rtol=1e-2, atol=1e-6)
        with torch.no_grad():
            _, total, distinct = read_literally(network, batch, sizes[0])
        sides: dict[str, Callable[[], object]] = {"once": once}
        sides |= {f"literally, {size} texts at a time": (lambda size=size: literally(size)) for size in sizes}
        seconds = turns(sides, times)
        best = min(value for name, value in seconds.items() if name != "once")
        share = distinct / total
        found[backbone] = {
            "seconds": {name: round(value, 4) for name, value in seconds.items()},
            "texts": total,
            "distinct": distinct,
            "share": round(share, 3),
            "speedup": round(best / seconds["once"], 2),
            "time_against_share": round(seconds["once"] / best / share, 2),
        }
    return found


def cached(raw_dir: Path | None) -> dict[str, Any]:
    """A whole training step with cached states, against one that reads."""
    import torch
    from bench_gpt2rec.step import losses

    found: dict[str, Any] = {}
    for backbone, times in (("scratch", 7), ("minilm", 1)):
        config, network, sampler = prepared(raw_dir, backbone)
        batch = next(sampler.batches(1))
        optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-9, fused=True)

        def step(
            mode: str, network: Any = network, config: Any = config, batch: Any = batch, optimizer: Any = optimizer
        ) -> None:
            network.encoder.mode = mode
            losses(config, network, batch)["total"].backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        begin = clock()
        network.encoder.switch("cached")
        filling = clock() - begin
        seconds = turns({mode: (lambda mode=mode: step(mode)) for mode in ("cached", "dynamic")}, times)
        found[backbone] = {
            "seconds": {name: round(value, 4) for name, value in seconds.items()},
            "seconds_to_fill_the_cache": round(filling, 2),
            "speedup": round(seconds["dynamic"] / seconds["cached"], 1),
        }
    return found


def ranking(raw_dir: Path | None) -> dict[str, Any]:
    """Top 10 of all items for all users, by halves; and by pairs for some users."""
    import numpy as np
    import torch
    from bench_gpt2rec.config import Gpt2RecConfig
    from bench_gpt2rec.scoring import Scorer

    from bench import rank

    train = visible("colarec-phone", raw_dir).train
    n_users, n_items = train.shape
    config = Gpt2RecConfig(scorer="mlp")
    torch.manual_seed(1)
    scorer = Scorer(config, config.embedding_size, n_items).eval()
    users, items = torch.randn(n_users, config.embedding_size), torch.randn(n_items, config.embedding_size)
    halves = scorer.users(users), scorer.items(items, torch.arange(n_items))
    some = np.linspace(0, n_users - 1, 64).astype(int)
    # The layers as they are without halves.
    first = torch.nn.Linear(2 * config.embedding_size, config.hidden_sizes[0])
    with torch.no_grad():
        first.weight.copy_(torch.cat([scorer.user_half.weight, scorer.item_half.weight], dim=1))
        first.bias.copy_(scorer.user_half.bias)

    def by_halves() -> Any:
        return scorer.score_blocks(halves[0].rows(torch.from_numpy(some)), halves[1])

    def by_pairs(size: int) -> Any:
        scores = []
        for user in some:
            row = []
            for begin in range(0, n_items, size):
                part = items[begin : begin + size]
                pairs = torch.cat([users[user].expand(len(part), -1), part], dim=1)
                row.append(scorer.rest(first(pairs)).squeeze(-1))
            scores.append(torch.cat(row))
        return torch.stack(scores)

    with torch.inference_mode():
        torch.testing.assert_close(by_halves(), by_pairs(4096), rtol=1e-4, atol=1e-4)
        sides: dict[str, Callable[[], object]] = {"halves": by_halves}
        sides |= {f"pairs, {size} at a time": (lambda size=size: by_pairs(size)) for size in (1024, 4096, 16384)}
        seconds = turns(sides, 3)
        begin = clock()
        rank(lambda rows: scorer.score_blocks(halves[0].rows(torch.from_numpy(rows)), halves[1]).numpy(), train, 10)
        whole = clock() - begin
    best = min(value for name, value in seconds.items() if name != "halves")
    return {
        "users": len(some),
        "items": n_items,
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "speedup": round(best / seconds["halves"], 2),
        "all_users": n_users,
        "seconds_for_all_users": round(whole, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    main()
