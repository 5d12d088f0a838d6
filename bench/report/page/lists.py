"""Lists of several models side by side for some users, where lists and data are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.catalog import card, cards
from bench.data.hidden import Split
from bench.data.prepare import prepare
from bench.data.raw import locate_local
from bench.data.split import split
from bench.errors import BenchError, ResultsError, plain
from bench.report.page.document import Listed, ListsPart, UserPart
from bench.report.row import Row
from bench.report.table import Table
from bench.runs.evaluate import read_lists, test_users
from bench.runs.recommend import titles
from bench.runs.store import Store

USERS = 20
MODELS = 5
LENGTH = 10
LATEST = 5
"""Items of the history that are shown."""


def lists(table: Table, store: Store, raw_dir: Path | None = None) -> tuple[ListsPart | None, list[str]]:
    """The lists of the best row of each of the best models, of their first seed and fold; or a line why there are none.

    Users are evenly spread over all test users by the length of their history.
    """
    rows = _rows(table, store)
    if not rows:
        return None, []
    try:
        parts = _split(table, raw_dir)
        return (_part(rows, store, parts), []) if parts else (None, ["no lists: their data are not at hand"])
    except BenchError as error:
        return None, [f"no lists: {error}"]


def _rows(table: Table, store: Store) -> list[Row]:
    found: dict[str, Row] = {}
    for row in table.rows:
        kept = not row.failed and (store.path(row.first.cell_id) / "lists.parquet").is_file()
        if kept and not row.ablation:
            found.setdefault(row.first.cell.model, row)
    return list(found.values())[:MODELS]


def _split(table: Table, raw_dir: Path | None) -> Split | None:
    """The split of the table's first fold; None where its data are not at hand: nothing is fetched for the page."""
    name = table.dataset
    if name not in cards() or not locate_local(card(name), raw_dir):
        return None
    rules = table.cell.protocol
    parts = split(prepare(card(name), raw_dir), rules, rules.folds[0])
    return parts if parts.fingerprint == table.cell.fingerprint else None


def _part(rows: list[Row], store: Store, parts: Split) -> ListsPart:
    protocol, visible = rows[0].first.cell.protocol, parts.visible
    users = test_users(parts)
    known = visible.history(protocol)
    chosen = spread(known.lengths[users])
    items = [_items(store.path(row.first.cell_id) / "lists.parquet", users, known.n_items)[chosen] for row in rows]
    names = [plain(title or f"#{i}") for i, title in enumerate(titles(visible.item_texts()))]
    ids = visible.user_texts()["id"].to_numpy()
    shown = []
    for place, user in enumerate(users[chosen]):
        history = known.items[known.indptr[user] : known.indptr[user + 1]][::-1]
        test = parts.hidden.test
        wanted = set(test.items[test.indptr[user] : test.indptr[user + 1]].tolist())
        one = [[Listed(title=names[i], hit=i in wanted) for i in own[place].tolist() if i >= 0] for own in items]
        latest = [names[i] for i in history[:LATEST].tolist()]
        shown.append(UserPart(user=plain(str(ids[user])), known=len(history), history=latest, lists=one))
    return ListsPart(rows=[row.title for row in rows], users=shown)


def _items(path: Path, users: NDArray[np.int64], n_items: int) -> NDArray[np.int32]:
    """(n_users, at most :data:`LENGTH`) items of the lists of these users."""
    own, items = read_lists(path)
    if not np.array_equal(own, users) or items.max(initial=-1) >= n_items:
        raise ResultsError(f"{path} has lists of other data: remove {path.parent}")
    return items[:, :LENGTH]


def spread(lengths: NDArray[np.int64], n: int = USERS) -> NDArray[np.int64]:
    """Places (at most n,) evenly spread over ``lengths`` (n_users,) by rising length, ties by place."""
    order = np.argsort(lengths, kind="stable")
    return order[np.linspace(0, len(order) - 1, min(n, len(order))).round().astype(np.int64)]
