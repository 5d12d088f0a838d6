"""One real user, followed through ColaRec with all numbers: writes ``colarec-walkthrough.md`` and its Chinese twin.

    OMP_NUM_THREADS=1 python plugins/colarec/walkthrough.py --raw-dir DIR [--dataset beauty] [--out docs]

Nothing is computed anew: the plugin's functions run, :func:`listening` notes what goes in and out of them, and the two
templates beside this file say it in words. The model is small and trains for less than a minute.
"""

from __future__ import annotations

import html
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np
import pandas as pd
import torch
from bench_colarec import identifiers, losses, network, prefixes, start, tokens, vectors
from bench_colarec import prepare as stages
from bench_colarec.config import PRESETS, ColaRecConfig
from bench_colarec.explain import explain
from bench_colarec.recommender import Recommender
from bench_colarec.search import beam_search
from bench_colarec.step import Step
from bench_colarec.training import Trainer

from bench.contract import Interactions, Validation
from bench.data import catalog
from bench.data.prepare import prepare, split
from bench.data.protocol import protocol
from bench.errors import BenchError
from bench.evaluation.metrics import per_user

SEED, GRAPH_EPOCHS = 1, 5
AS_THE_PAPER = {"negatives": "uniform", "match_loss": "bpr", "decoding": "beams", "score": "generate", "gid_width": 32}
SIMPLE = {"held_out": 0.0, "embedding_rate": 0.1, "layers": 1, "targets": 1, "epochs": 1, "beams": 20}
"""With the former, the changes to the preset ``quick``."""
SHOWN, LIST, JUDGED = 8, 10, 500
"""Beams in a table; items in the list; users of the average."""
LOSSES = {"rec": "L_rec", "index": "L_index", "bpr": "L_bpr", "contrastive": "L_c"}


@dataclass(frozen=True)
class Data:
    """A split data set, and the user of the page."""

    title: str
    rules: str
    train: Interactions
    valid: Interactions
    test: Interactions
    texts: pd.DataFrame
    user: int

    def own(self, part: str) -> Interactions:
        """The user's row of a part."""
        found: Interactions = getattr(self, part)
        return found.select(np.array([self.user]))

    @property
    def part_of(self) -> dict[int, str]:
        """The part of each of the user's items."""
        return {item: part for part in ("train", "valid", "test") for item in self.own(part).items.tolist()}

    def name(self, item: int, most: int = 40) -> str:
        """The title of an item, fit for a table."""
        return cut(self.texts["title"][int(item)], most)


@dataclass(frozen=True)
class Run:
    """A trained model, and the training sample that the page takes apart."""

    data: Data
    config: ColaRecConfig
    encoder: tokens.Trained
    vectors: vectors.Vectors
    parts: Any
    step: Step
    batch: Any
    sample: Any
    before: tuple[dict[str, float], dict[str, float]]
    """Losses of the sample and of its batch before the training."""


class Context:
    """What the plugin asks of the harness. It never validates, so that nothing stops early."""

    def __init__(self, texts: pd.DataFrame, folder: Path) -> None:
        self.seed, self.device, self.folder, self.time_budget = SEED, "cpu", folder, None
        self.item_texts = lambda: texts
        self.log = self.note = self.progress = lambda *_: None
        self.epochs = lambda most, **_: iter(range(1, most + 1))
        self.validate = lambda: Validation(None, False, False)


def load(dataset: str, raw_dir: Path) -> Data:
    """The data set, split by its protocol, and the first user with a short row and titles that are read easily."""
    card = catalog.card(dataset)
    rules = protocol(card.protocol)
    found = split(prepare(card, raw_dir), rules)
    parts, texts = (found.visible.train, found.visible.valid, found.hidden.test), found.visible.item_texts()
    readable = texts["title"].map(lambda title: 9 <= len(title) <= 48 and "&" not in title).to_numpy()
    for user in np.flatnonzero((parts[0].lengths >= 5) & (parts[0].lengths <= 7)):
        data = Data(card.title, rules.describe(), *parts, texts, int(user))
        if list(data.part_of.values())[-3:] == ["train", "valid", "test"] and readable[list(data.part_of)].all():
            return data
    raise BenchError(f"no user of '{dataset}' has 5 to 7 train items, one of each other part, and short titles")


def train(data: Data, folder: Path, **changes: Any) -> Run:
    """The stages of ``ColaRec.fit``, one after the other, with few epochs."""
    torch.set_num_threads(1)
    config = ColaRecConfig(**{**AS_THE_PAPER, **SIMPLE, **changes})
    context, width = Context(data.texts, folder), config.vectors_width
    given = vectors.lightgcn(data.train, context, publish=lambda _: None, width=width, epochs=GRAPH_EPOCHS)
    texts = stages.column(context, "text")
    encoder = tokens.train(texts, config.vocabulary)
    table = tokens.table(encoder, texts, config.input_lengths.item_tokens)
    parts, sampler = stages.prepare(config, data.train, context, given, table)
    torch.manual_seed(SEED)
    net = network.make(config, parts, network.load(config))
    start.from_vectors(net, parts.slots, parts.tree, given, SEED, scratch=True)
    step = Step(config, net, parts.slots, parts.tree, sampler)
    batch, sample = find_sample(step, data.user)
    before = losses_of(step, sample), losses_of(step, batch)
    Trainer(config, net, step, context).train(lambda: None)
    net.eval()
    return Run(data, config, encoder, given, parts, step, batch, sample, before)


def find_sample(step: Step, user: int) -> tuple[Any, Any]:
    """The first batch with the user whose target has a relative in the tree, and the user's sample in it."""
    for epoch in range(1, 50):
        for batch in step.batches(epoch):
            for at in np.flatnonzero(batch.users == user):
                sample = batch.split(len(batch.users))[at]
                if (step.sampler.relatives(step.sampler.rng(0), sample.targets) >= 0).all():
                    return batch, sample
    raise BenchError("no item of this user shares a prefix with another one")


@torch.inference_mode()
def losses_of(step: Step, sample: Any) -> dict[str, float]:
    """The four losses of a sample, and their weighted sum; negatives and the like are always the same."""
    found = step.loss(sample, step.sampler.rng(0, SEED))
    return {name: float(value) for name, value in {**found, "total": step.total(found)}.items()}


@contextmanager
def listening(owner: Any, name: str) -> Iterator[list[tuple[Any, Any]]]:
    """Notes the arguments and the answer of each call of a function, and changes nothing."""
    function, heard = getattr(owner, name), []

    def listen(*given: Any, **named: Any) -> Any:
        heard.append((given, function(*given, **named)))
        return heard[-1][1]

    with mock.patch.object(owner, name, listen):
        yield heard


def splitting(data: Data) -> dict[str, Any]:
    """1. Which of the user's interactions went where."""
    rows = [
        (str(np.datetime64(int(time), "s"))[:10], part, item, data.name(item))
        for part in ("train", "valid", "test")
        for item, time in zip(data.own(part).items.tolist(), data.own(part).times, strict=True)
    ]
    sizes = {part: len(getattr(data, part)) for part in ("train", "valid", "test")}
    return {
        "sizes": {**sizes, "all": sum(sizes.values()), "own": len(rows), "tenth": len(rows) / 10},
        "split_rows": table(sorted(rows)),
        "indptr": data.train.indptr[data.user : data.user + 2].tolist(),
        "train_row": data.own("train").items.tolist(),
    }


def identifying(run: Run, item: int, holds: Any) -> dict[str, Any]:
    """2. Vectors, the tree, and the identifier of an item from the root to its leaf."""
    data, tree, vector = run.data, run.parts.tree, run.vectors.items[item]
    unit = identifiers.unit_rows(run.vectors.items)
    cosine = unit @ unit[item]
    near = [other for other in np.argsort(-cosine, kind="stable") if other != item][:3]
    levels = []
    for level, nodes in enumerate(tree.nodes.T):
        below = np.bincount(nodes)
        limit = tree.width ** (tree.length - level)
        levels.append((level, len(below), below.min(), f"{np.median(below):g}", below.max(), limit))
    family = np.flatnonzero(tree.nodes[:, -2] == tree.nodes[item, -2])
    family = family[np.argsort(tree.codes[family, -1])]
    return {
        "gid": dots(tree.codes[item]),
        "vector": numbers(vector[:5]),
        "vector_norm": np.linalg.norm(vector),
        "near_rows": table((i, f"{cosine[i]:.4f}", dots(tree.codes[i]), data.name(i, 60)) for i in near),
        "level_rows": table(levels),
        "gid_rows": table((part, i, data.name(i), dots(tree.codes[i])) for i, part in data.part_of.items()),
        "path_rows": table((dots(prefix), *holds(prefix)) for prefix in prefixes_of(tree.codes[item])[:-1]),
        "family": len(family),
        "family_rows": table((dots(tree.codes[i]), data.name(i, 60)) for i in family[:SHOWN]),
    }


def input_rows(run: Run, slots: Any, places: Any) -> str:
    """An input of the encoder in words: a row for the task, each item, each user and the end."""
    of, rows = run.parts.slots, []
    kinds = [(of.task(1), "task i"), (of.task(0), "task u"), (of.atom(of.n_items), "user {}"), (of.atom(0), "item {}")]
    begins = np.flatnonzero(places < 3)
    for begin, end in zip(begins, [*begins[1:], len(slots)], strict=True):
        first, kind = next(((low, kind) for low, kind in kinds if slots[begin] >= low), (0, "EOS"))
        pieces = [run.encoder.tokenizer.id_to_token(int(slot)) for slot in slots[begin + 1 : end]]
        where = f"{begin}–{end - 1}" if pieces else begin
        rows.append((where, kind.format(slots[begin] - first), " ".join(map(str, slots[begin:end])), "·".join(pieces)))
    return table(rows)


def code_rows(run: Run, calls: list[Any], row: int, role: str, item: int) -> list[tuple[Any, ...]]:
    """How an identifier was written, code by code: ``row`` of what each of the ``calls`` computed."""
    books, tree, rows = run.step.network.codebooks, run.parts.tree, []
    for level, ((_, states, _), log_probs) in enumerate(calls):
        code, chances = int(tree.codes[item, level]), log_probs[row, 0]
        children = books.children_of(level, torch.tensor(tree.nodes[item, level]))
        logits = (books.outputs[level].weight @ states[row, 0] * books.scale)[children.clamp(min=0)]
        norm, best = logits[children >= 0].logsumexp(0), int(chances.argmax())
        shown = f"{logits[code]:.4f}", f"{norm:.4f}", f"{chances[code].exp():.4g}", f"{-chances[code]:.4f}"
        likely = f"{best} ({chances[best].exp():.4g})"
        rows.append((role, dots(tree.codes[item, :level]), int((children >= 0).sum()), code, *shown, likely))
    return rows


def training(run: Run) -> dict[str, Any]:
    """3. The inputs of a training step, and 4. its losses: the step is taken once more, and listened to."""
    net, sampler, slots, most = run.step.network, run.step.sampler, run.parts.slots, run.config.input_lengths
    tree, target = run.parts.tree, int(run.sample.targets[0])
    with (
        listening(net, "encode") as encoded,
        listening(net.codebooks, "log_probs") as codes,
        listening(losses, "ranking") as ranked,
        listening(sampler, "negatives") as negatives,
        listening(sampler, "relatives") as relatives,
    ):
        found = losses_of(run.step, run.sample)
    role = {"i": target, "i−": int(negatives[0][1][0]), "i+": int(relatives[0][1][0])}
    [((users,), of_users), ((items,), of_items)] = encoded
    line = {name: int(np.flatnonzero(items.slots[:, 1] == slots.atom(item))[0]) for name, item in role.items()}
    own = line["i"], slice(items.lengths[line["i"]])
    states = {"X_u": of_users.summary[0], **{f"X_{name}": of_items.summary[at] for name, at in line.items()}}
    rec = code_rows(run, codes[: tree.length], 0, "i", target)
    order = sorted({target, role["i−"]})  # L_index writes its items in the order of their ids
    index = [code_rows(run, codes[tree.length :], order.index(role[name]), name, role[name]) for name in ("i", "i−")]
    (user, near, far), (anchor, relative, other) = ([part[0] for part in given] for given, _ in ranked)
    theirs = {f"{name}_weight": PRESETS["paper"][f"{name}_weight"] for name in LOSSES}
    released = Step(run.config.model_copy(update={"index_inputs": "release", **theirs}), net, slots, tree, sampler)
    columns = run.before[0], found, run.before[1], losses_of(run.step, run.batch), losses_of(released, run.sample)
    ids = run.parts.tokens.ids[slice(*run.parts.tokens.indptr[target : target + 2])]
    return {
        "text": cut(run.data.texts["text"][target], 200),
        "token_ids": " ".join(map(str, ids)),
        "most": most,
        "table_shape": tuple(net.table.weight.shape),
        "first": {"atom": slots.atom(0), "user": slots.atom(slots.n_items), "task": slots.task(0)},
        "last": {"token": slots.n_tokens - 1, "task": slots.task(1)},
        "user_rows": input_rows(run, users.slots[0], users.places[0]),
        "item_rows": input_rows(run, items.slots[own], items.places[own]),
        "padded": slots.users(run.batch.indptr, run.batch.history, most.tokens).slots.shape,
        "users": users,
        "items": items,
        "item_lengths": items.lengths.tolist(),
        "states": tuple(of_users.states.shape),
        "h_rows": table((f"h({name})", numbers(h[:5]), f"{h.norm():.4f}") for name, h in states.items()),
        "role_rows": table((name, i, dots(tree.codes[i]), run.data.name(i, 60)) for name, i in role.items()),
        "rec_rows": table(rec),
        "index_rows": table([*index[0], *index[1]]),
        "second": rec[1],
        "loss": {name: short(value) for name, value in found.items()},
        "dot": {"ui": user @ near, "un": user @ far, "ir": anchor @ relative, "in": anchor @ other},
        "margin": {"bpr": user @ near - user @ far, "contrastive": anchor @ relative - anchor @ other},
        "guess": np.log(slots.n_items),
        "loss_rows": table(
            (label, *(short(column[name]) for column in columns)) for name, label in {**LOSSES, "total": "Σ"}.items()
        ),
    }


def searching(run: Run, recommender: Recommender, test: int, holds: Any) -> dict[str, Any]:
    """5. The beams of each level, and how far the test item came."""
    tree, net, beams = run.parts.tree, run.step.network, run.config.beams
    [(_, users)] = recommender.encode_users(run.data.own("train"), beams)
    with listening(net.codebooks, "embed") as calls:  # it is given the nodes that are kept
        _, [reached] = beam_search(net, users, tree, beams)
    kept = [[0], *(nodes[0].tolist() for (_, nodes), _ in calls)]
    written = net.write(users, torch.from_numpy(tree.nodes)[None])[0].cumsum(1)
    tables, way = [], []
    for level, target in enumerate(prefixes_of(tree.codes[test]), 1):
        first = np.unique(tree.nodes[:, level], return_index=True)[1]  # an item below each node
        scores, rows = written[first, level - 1], []
        for place, node in enumerate(kept[level][:SHOWN], 1):
            prefix = tree.codes[first[node], :level]
            said = holds(prefix) if level < tree.length else [run.data.name(first[node], 60)]
            rows.append((place, dots(prefix), f"{scores[node]:.4f}", f"{scores[node].exp():.4g}", *said))
        node = int(tree.nodes[test, level])
        fact = {"level": level, "prefix": dots(target), "place": 1 + int((scores > scores[node]).sum())}
        fact |= {"score": f"{scores[node]:.4f}", "survived": node in kept[level], "holds": holds(target)}
        children = tree.children[level - 1][kept[level - 1]]
        way.append({**fact, "reachable": int((children >= 0).sum()), "kept": len(kept[level])})
        tables.append(table(rows))
    return {
        "shown": SHOWN,
        "level": tables,
        "way": way,
        "way_rows": table(
            (row["level"], row["prefix"], row["score"], row["place"], "✓" if row["survived"] else "✗", *row["holds"])
            for row in way
        ),
        "mass": reached.exp().sum(),
        "verdict": ("dropped", next((row for row in way if not row["survived"]), {})),
    }


def listing(run: Run, recommender: Recommender, test: int) -> dict[str, Any]:
    """6. The list without what the user has, why its items are there, and the average over more users."""
    data, history, net = run.data, run.data.own("train"), run.step.network
    found = recommender.recommend(history, history, LIST)
    beams = recommender.recommend(history, history.where(np.zeros(len(history), bool)), run.config.beams)
    listed, every = ([int(item) for item in lists.items[0] if item >= 0] for lists in (found, beams))
    shown = every[: every.index(listed[-1]) + 1] if listed else every
    near = {item: why["nearest"][0] for item, why in zip(listed, explain(recommender, history, found)[0], strict=True)}
    rows = []
    for item, score in zip(shown, beams.scores[0], strict=False):
        place = listed.index(item) + 1 if item in near else "–"
        why = f"{near[item]['shared_codes']}: {data.name(near[item]['item'], 30)}" if item in near else ""
        gid = dots(run.parts.tree.codes[item])
        rows.append((place, gid, data.name(item), f"{score:.4f}", data.part_of.get(item, ""), why))
    ranks = []
    for kind in ("generate", "match", "both"):
        config = run.config.model_copy(update={"score": kind})
        scores = Recommender(config, net, run.parts).scores(history)[0]
        scores[history.items] = -np.inf
        ranks.append((kind, *(1 + int((scores > scores[item]).sum()) for item in (*data.own("valid").items, test))))
    users = np.random.default_rng(SEED).permutation(np.flatnonzero(data.test.lengths))[:JUDGED]
    known, ks, metrics = data.train.select(users), [LIST], ["recall", "ndcg"]
    means = per_user(recommender.recommend(known, known, LIST).items, data.test.select(users), ks, metrics)
    own = per_user(found.items, data.own("test"), ks, metrics)
    outcome = {}
    if test in every:
        outcome = {"verdict": ("late", {"place": every.index(test) + 1})}
    if test in listed:
        outcome = {"verdict": ("listed", {"place": listed.index(test) + 1})}
    return {
        "k": LIST,
        "list_rows": table(rows),
        "rank_rows": table(ranks),
        "judged": len(users),
        "own": {name: value[0] for name, value in own.items()},
        "mean": {name: value.mean() for name, value in means.items()},
        **outcome,
    }


@torch.inference_mode()
def collect(run: Run) -> dict[str, Any]:
    """All that the templates say."""
    recommender, holds = Recommender(run.config, run.step.network, run.parts), holder(run)
    target, test = int(run.sample.targets[0]), int(run.data.own("test").items[0])
    return {
        "data": run.data,
        "config": run.config,
        "tree": run.parts.tree,
        "slots": run.parts.slots,
        "network": run.step.network,
        "graph_epochs": GRAPH_EPOCHS,
        "steps": run.step.n_batches() * run.config.epochs,
        "target": target,
        "target_title": run.data.name(target, 60),
        "history": run.sample.history.tolist(),
        "test": test,
        "test_title": run.data.name(test, 60),
        **splitting(run.data),
        **identifying(run, target, holds),
        **training(run),
        **searching(run, recommender, test, holds),
        **listing(run, recommender, test),
    }


def holder(run: Run) -> Any:
    """A function that says of a prefix how many items are below it, which words set them apart, and a title."""
    codes, popularity = run.parts.tree.codes, np.bincount(run.data.train.items, minlength=run.data.train.n_items)
    levels = (prefixes.describe(codes, run.data.texts, popularity, level, 3) for level in range(1, codes.shape[1]))
    found = {tuple(row["prefix"]): row for rows in levels for row in rows}

    def holds(prefix: Any) -> tuple[int, str, str]:
        if about := found.get(tuple(prefix.tolist())):
            return about["items"], ", ".join(about["words"]), cut(about["titles"][0], 40)
        item = int(np.flatnonzero((codes == prefix).all(1))[0])
        return 1, "", run.data.name(item)

    return holds


def render(values: dict[str, Any], language: str) -> str:
    """The page in a language, ``en`` or ``zh``. A template begins with the sentences that depend on the outcome."""
    text = Path(__file__).with_name(f"walkthrough.{language}.md.tmpl").read_text(encoding="utf-8")
    sentences, _, page = text.partition("\n---\n")
    kind, fact = values["verdict"]
    verdict = dict(line.split(": ", 1) for line in sentences.splitlines())[kind].format(**fact)
    return page.format(**{**values, "verdict": verdict})


def table(rows: Iterable[Iterable[Any]]) -> str:
    """Rows of a Markdown table."""
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows)


def prefixes_of(codes: Any) -> list[Any]:
    """The beginnings of an identifier."""
    return [codes[:level] for level in range(1, len(codes) + 1)]


def dots(codes: Any) -> str:
    """A prefix in a table."""
    return "·".join(map(str, codes.tolist())) or "–"


def numbers(values: Any) -> str:
    """Some components of a vector."""
    return ", ".join(f"{value:.3f}" for value in values.tolist())


def short(value: float) -> str:
    """A loss: four decimals, or three digits of what is too small for these."""
    return f"{value:.4f}" if value >= 0.01 else f"{value:.2e}"


def cut(text: str, most: int) -> str:
    """At most so many characters of a text, in one line."""
    line = " ".join(html.unescape(text).split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


@click.command()
@click.option("--raw-dir", type=click.Path(path_type=Path, exists=True), required=True, help="Folder of raw files.")
@click.option("--dataset", default="beauty", show_default=True, help="One whose items have titles.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), help="Folder for the pages.")
def main(raw_dir: Path, dataset: str, out: Path) -> None:
    """Follow one real user through ColaRec, and write it down in two languages."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            values = collect(train(load(dataset, raw_dir), Path(folder)))
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    out.mkdir(parents=True, exist_ok=True)
    for language, name in (("en", "colarec-walkthrough.md"), ("zh", "colarec-walkthrough.zh.md")):
        (out / name).write_text(render(values, language), encoding="utf-8")
        click.echo(out / name)


if __name__ == "__main__":
    main()
