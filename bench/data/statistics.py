"""Live statistics of a data set, as lines for people."""

from __future__ import annotations

import datetime

import numpy as np

from bench.data.catalog import Card
from bench.data.dataset import Dataset
from bench.data.groups import find_groups
from bench.data.memory import memory, transitions
from bench.data.protocol import Protocol
from bench.data.split import split
from bench.interactions import Interactions


def statistics(dataset: Dataset, card: Card, protocol: Protocol) -> dict[str, str]:
    """Sizes, history lengths, texts and time span; of the first split of ``protocol`` its parts, cold items, groups."""
    whole = dataset.interactions
    density = len(whole) / max(1, whole.n_users * whole.n_items)
    first, last = whole.times.min(), whole.times.max()
    found = {
        "size": f"{whole.n_users:,} users, {whole.n_items:,} items, {len(whole):,} interactions, density {density:.3%}",
        "per user": _quantiles(whole.lengths),
        "per item": _quantiles(whole.popularity),
        "time": f"{_day(first)} to {_day(last)}" if last > first else "not known",
    }
    for what, texts in (("item texts", dataset.item_texts()), ("user texts", dataset.user_texts())):
        share = (texts.drop(columns="id") != "").mean()
        found[what] = ", ".join(f"{name} {part:.1%}" for name, part in share.items()) or "none"
    if titles := _same_titles(dataset):
        found["same titles"] = titles
    found |= _steps(whole, dataset.moments)
    if protocol.split.by_time:
        found["ties"] = _ties(dataset, protocol)
    parts = split(dataset, protocol, protocol.folds[0])
    train, valid, test = parts.visible.train, parts.visible.valid, parts.hidden.test
    sizes = f"{len(train):,} train, {len(valid):,} validation, {len(test):,} test"
    found["split"] = f"{protocol.describe()}: {sizes}"
    short = int((whole.lengths < 3).sum())
    found["short users"] = f"{short:,} with fewer than three interactions (one: train; two: train and test)"
    seen = train.popularity > 0
    cold = [f"{_cold(part, seen):,} in {name}" for name, part in (("validation", valid), ("test", test))]
    found["cold items"] = f"{int((~seen).sum()):,} without train interaction; interactions with them: {', '.join(cold)}"
    if len(test):
        older = float((test.times < train.times.max(initial=0)).mean())
        found["time leak"] = f"{older:.1%} of test interactions are older than the newest one in train"
        known = parts.visible.union("train")
        cases = memory(known, parts.visible.history(protocol), test)
        found["test pairs"] = ", ".join(f"{name} {mask.mean():.1%}" for name, mask in cases.items())
    for group in find_groups(parts.visible.union("train"), card.long_tail):
        found[f"  {group.name}"] = f"{int(group.members.sum()):,} users: {group.rule}"
    found["fingerprint"] = parts.fingerprint[:12]
    return found


def _same_titles(dataset: Dataset) -> str:
    texts = dataset.item_texts()
    field = next((name for name in ("title", "name") if name in texts), None)
    if field is None:
        return ""
    titles = texts[field][texts[field] != ""].str.casefold()
    return f"{int(titles.duplicated(keep=False).sum()):,} items share their {field} with another one"


def _steps(whole: Interactions, moments: np.ndarray) -> dict[str, str]:
    """From an item of a history to the next one: how many have no order of their own, and how predictable they are."""
    steps = np.diff(whole.users) == 0
    if not steps.any() or moments.min() == moments.max():
        return {}
    tied = float((np.diff(moments)[steps] == 0).mean())
    different, counts = np.unique(transitions(whole), return_counts=True)
    of = different // whole.n_items
    most = np.zeros(whole.n_items, np.int64)
    np.maximum.at(most, of, counts)
    branches = len(different) / len(np.unique(of))
    return {
        "equal times": f"{tied:.1%} of the steps in histories: the order of the rows alone says what came first",
        "next items": f"{branches:.1f} different ones follow an item on average; the most frequent ones make "
        f"{most.sum() / counts.sum():.1%} of all steps",
    }


def _ties(dataset: Dataset, protocol: Protocol) -> str:
    """How many users have equal times on both sides of a cut, so that the order of the raw file decides."""
    whole, moments = dataset.interactions, dataset.moments
    parts = protocol.split.assign(dataset, protocol.folds[0])
    tied = (np.diff(whole.users) == 0) & (np.diff(moments) == 0) & (np.diff(parts) != 0)
    number = len(np.unique(whole.users[1:][tied]))
    return f"{number:,} users ({number / whole.n_users:.1%}) whose split the order of the raw file decides"


def _quantiles(lengths: np.ndarray) -> str:
    shares = (0, 0.25, 0.5, 0.75, 0.95, 1)
    values = np.quantile(lengths, shares)
    return ", ".join(
        f"{name} {value:g}" for name, value in zip(("min", "25%", "50%", "75%", "95%", "max"), values, strict=True)
    )


def _day(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).date().isoformat()


def _cold(part: Interactions, seen: np.ndarray) -> int:
    return int((~seen[part.items]).sum())
