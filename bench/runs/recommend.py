"""Ask a trained model what it recommends to some users, with the history and the exclusion of the test."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue, TypeAdapter

from bench.data import raw
from bench.data.catalog import Card
from bench.data.dataset import Dataset
from bench.data.sources import reader
from bench.errors import DataError, PluginError, ResultsError, UnknownName
from bench.evaluation import violations
from bench.files import remove
from bench.interactions import UNFILLED, Recommendations
from bench.messages.cell import Cell
from bench.messages.events import Started
from bench.messages.job import Request
from bench.runs.claims import Heart, Held, claim
from bench.runs.execute import Watch, run_cells
from bench.runs.outputs import adopt, read_array, read_output
from bench.runs.plan import Plan
from bench.runs.store import Store, leave_finished

TITLE_LENGTH = 60
_EXPLANATIONS = TypeAdapter(list[list[dict[str, JsonValue]]])


@dataclass(frozen=True)
class Answer:
    """What a model recommends to one user."""

    user: str
    history: list[dict[str, str]]
    """``item`` and ``title`` of all that the model knows of the user, newest first."""
    recommendations: list[dict[str, Any]]
    """``rank``, ``item``, ``title``, ``score`` and, if it was asked for, ``explanation``; best first."""


def find_users(dataset: Dataset, card: Card, names: Sequence[str], raw_dir: Path | None = None) -> NDArray[np.int64]:
    """(n,) users of original ids; ``dataset`` was prepared from ``card``.

    Raises
    ------
    BenchError
        For an unknown id, or one that the filters of the data set's card have left out.
    """
    ids = dataset.user_texts()["id"].tolist()
    number = {user: i for i, user in enumerate(ids)}
    for name in names:
        if name in number:
            continue
        what, like = card.name, ", ".join(f"'{user}'" for user in ids[:: max(1, len(ids) // 3)][:3])
        files = raw.locate(card, raw_dir)
        table = reader(files.source.reader)(files.paths, **files.source.options).interactions
        count = int((table["user"] == name).sum())
        if count:
            steps = ", ".join(step for step, _ in dataset.facts["steps"][1:])
            raise DataError(
                f"user '{name}' has {count:,} interactions in the raw files of '{what}', but is not left after its "
                f"filters ({steps}): choose another one, such as {like}"
            )
        raise UnknownName(f"user of {what}", name, ids, f"ids such as {like}")
    return np.array([number[name] for name in names], np.int64)


def trained(plan: Plan, store: Store) -> Path | None:
    """The folder of the saved model of the first cell of ``plan``, if there is one.

    Lists of any length and any device will do, since neither changes what was learnt.
    """
    wanted = _learnt(plan.cells[0])
    for result in reversed(store.results()):
        folder = store.path(result.cell_id) / "model"
        if result.status == "finished" and folder.is_dir() and _learnt(result.cell) == wanted:
            return folder
    return None


def _learnt(cell: Cell) -> dict[str, Any]:
    return cell.model_dump(exclude={"list_length", "device"})


def train(plan: Plan, store: Store, watch: Watch) -> Path:
    """Run the first cell of ``plan`` and keep its model; a finished cell keeps its result and gains the model.

    Raises
    ------
    ResultsError
        If it fails.
    """
    cell = plan.cells[0]
    before = store.result(cell.id)
    if before is not None and before.status == "finished":
        return _model_alone(plan, store, watch)
    spec = plan.spec.model_copy(update={"save_models": True})
    [result] = run_cells(replace(plan, spec=spec, cells=[cell]), store, watch)
    folder = store.path(result.cell_id)
    if result.status == "failed":
        raise ResultsError(f"{result.cell.label} failed: {result.reason} (log: {folder / 'worker.log'})")
    # Another run may have finished the cell meanwhile, without keeping the model.
    return folder / "model" if (folder / "model").is_dir() else _model_alone(plan, store, watch)


def _model_alone(plan: Plan, store: Store, watch: Watch) -> Path:
    """Train a finished cell again for its model, and leave everything else of it as it is."""
    cell = plan.cells[0]
    folder = store.path(cell.id)
    held = claim(folder)
    if isinstance(held, Held):
        raise ResultsError(f"{held.holder} works at {cell.label}: ask again when it is done")
    job = plan.job(cell, folder / "job" / "worker", folder / "job" / "work")
    request = Request(cell=cell, k=1, save_model=True, measure=False, memory_limit=plan.limits.memory)
    watch(cell, Started(resumed=False))
    try:
        with Heart() as heart:
            heart.claims.add(held)
            ended = job.run(request, np.zeros(0, np.int64), lambda event: watch(cell, event))
        if ended.reason:
            raise ResultsError(f"{cell.label} failed: {ended.reason}")
        adopt(job.folders.output / "model", folder / "model")
    finally:
        job.child.end()
        leave_finished(folder)
        held.release()
    return folder / "model"


def ask(
    plan: Plan, model: Path, users: NDArray[np.int64], k: int, explain: bool
) -> tuple[list[Answer], dict[str, int]]:
    """Load the saved model in a worker and ask it; answers in the order of ``users``, and violations by kind.

    Raises
    ------
    ResultsError
        If the worker fails.
    PluginError
        If the plugin does not give what the contract asks for.
    """
    cell = plan.cells[0]
    folder = Path(tempfile.mkdtemp(prefix="bench-recommend-"))
    job = plan.job(cell, folder / "worker", folder / "work", model)
    try:
        ended = job.run(
            Request(cell=cell, k=k, model=str(model.absolute()), explain=explain), users, lambda event: None
        )
        if ended.reason:
            what = f"{cell.label}, loaded from {model}, failed: {ended.reason}"
            doubt = f"if that does not help, 'bench plugin test {cell.model}' tells whether it saves and loads well"
            raise ResultsError(f"{what}; remove that folder to train it again, and {doubt}")
        output = job.folders.output
        found = Recommendations(*(read_array(output / f"{part}.npy", len(users) * k) for part in ("items", "scores")))
        reasons = _explanations(output / "explanations.json", found) if explain else None
    finally:
        job.child.end()
        remove(folder)
    visible = plan.folds[cell.fold].split.visible
    history, exclude = visible.inputs(cell.protocol, users)
    lists, kinds = violations.check(found, exclude, k)  # as it is measured
    counted = {kind: number for kind, number in kinds.items() if number}
    texts = visible.item_texts()
    titled = [{"item": item, "title": title} for item, title in zip(texts["id"], titles(texts), strict=True)]
    explained = np.cumsum(found.items != UNFILLED, axis=1) - 1  # which of a user's explanations is that of a slot
    answers = []
    for row, user in enumerate(visible.user_texts()["id"].to_numpy()[users]):
        listed = []
        for slot in np.flatnonzero(lists.items[row] != UNFILLED):
            one = {"rank": int(slot) + 1, **titled[lists.items[row, slot]], "score": float(lists.scores[row, slot])}
            why = {"explanation": _named(reasons[row][explained[row, slot]], titled)} if reasons is not None else {}
            listed.append({**one, **why})
        known = history.items[history.indptr[row] : history.indptr[row + 1]][::-1]
        answers.append(Answer(str(user), [titled[item] for item in known], listed))
    return answers, counted


def _explanations(path: Path, found: Recommendations) -> list[list[dict[str, JsonValue]]]:
    """The explanations in a worker's file: for each user one per filled slot."""
    try:
        told = _EXPLANATIONS.validate_json(read_output(path, 2**28))
        json.dumps(told, allow_nan=False)
    except ValueError as error:
        raise PluginError(f"the worker's {path.name} is not valid") from error
    if [len(row) for row in told] != (np.asarray(found.items) != UNFILLED).sum(axis=-1).tolist():
        raise PluginError(f"the worker's {path.name} has not one explanation for each filled slot")
    return told


def _named(value: Any, titled: Sequence[Mapping[str, str]]) -> Any:
    """An explanation whose items, by number under the key ``item``, are told by id and title."""
    if isinstance(value, Mapping):
        item = value.get("item")
        known = titled[item] if isinstance(item, int) and 0 <= item < len(titled) else {}
        return {**{key: _named(part, titled) for key, part in value.items()}, **known}
    return [_named(part, titled) for part in value] if isinstance(value, list) else value


def titles(texts: Any) -> list[str]:
    """One line per item of a table of item texts: its title, or the beginning of its text, or nothing."""
    column = next((name for name in ("title", "text") if name in texts), None)
    if column is None:
        return [""] * len(texts)
    lines = (" ".join(text.split()) for text in texts[column])
    return [line if len(line) <= TITLE_LENGTH else f"{line[: TITLE_LENGTH - 1].rstrip()}…" for line in lines]
