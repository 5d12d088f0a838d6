"""The published checks of a model in a worker, as ``bench run`` runs it; see :mod:`bench.testing`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from bench.contract import Recommender
from bench.interactions import Recommendations
from bench.messages.cell import Result
from bench.messages.description import ModelRequest
from bench.messages.spec import RunSpec
from bench.plugins import load_model
from bench.runs.evaluate import read_lists, read_scores
from bench.runs.execute import run_cells
from bench.runs.leaks import write_card
from bench.runs.plan import Plan, make_plan
from bench.runs.store import Store
from bench.testing.asks import asks
from bench.testing.local import MemorySplit, assert_same_lists, block_interactions

_K = 10


@dataclass(frozen=True)
class Ran:
    """A cell that was run by a worker."""

    plan: Plan
    result: Result
    folder: Path
    """What the worker left."""


class WorkerChecks:
    """Checks that every model has to pass in a process of its own, confined where the system can do it."""

    name: ClassVar[str]
    """Of the model, as users give it to ``bench run --models``, perhaps with a preset."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Changes to the config of the preset."""
    _data: ClassVar[MemorySplit] = block_interactions()

    @pytest.fixture(scope="class")
    @classmethod
    @asks("Recommender.fit")
    def ran(cls, tmp_path_factory: pytest.TempPathFactory) -> Ran:
        """A model can be run by the harness, on synthetic data that are written as files first."""
        folder = tmp_path_factory.mktemp("worker")
        spec = RunSpec(
            models=[cls.name],
            dataset=_card(folder, cls._data),
            options={ModelRequest.parse(cls.name).model: dict(cls.options)},
            ks=[_K],
            device="cpu",
            threads=1,
            save_models=True,
            raw_dir=folder,
        )
        plan, store = make_plan(spec), Store(folder / "results")
        [result] = run_cells(plan, store, lambda cell, event: None)
        return Ran(plan, result, store.path(result.cell_id))

    @pytest.fixture(scope="class")
    @classmethod
    @asks("Recommender.fit")
    def finished(cls, ran: Ran) -> Ran:
        """A model runs without network, home, or files beside those of its interpreter, its packages and its config."""
        assert ran.result.status == "finished", ran.result.reason
        return ran

    @classmethod
    def model_class(cls) -> type[Recommender]:
        """The class of the model."""
        return load_model(ModelRequest.parse(cls.name).model)

    @asks("Recommender.fit")
    def test_runs_in_a_confined_process(self, finished: Ran) -> None:
        """A model runs without network, home, or files beside those of its interpreter, its packages and its config."""
        held = finished.result.confinement
        if held.startswith("unconfined"):
            pytest.skip(f"this system does not confine workers ({held}): it was run, and nothing was held")

    @asks("Recommender.promised_seconds")
    def test_takes_no_longer_than_promised(self, finished: Ran) -> None:
        """Fitting and recommending take no longer than promised_seconds on small data.

        Seconds of the processor, if those are fewer: what waits for others on a busy machine is no fault of the model.
        """
        promised = load_model(finished.result.cell.model).promised_seconds
        phases = [finished.result.phases[name] for name in ("fit", "recommend")]
        taken = sum(min(phase.seconds, phase.processor_seconds) for phase in phases)
        assert taken <= promised, f"{taken:.1f} s, and promised_seconds = {promised:g}"

    @asks("Recommender.promised_mib")
    def test_takes_no_more_memory_than_promised(self, finished: Ran) -> None:
        """Fitting and recommending add no more than promised_mib of memory on small data."""
        promised = load_model(finished.result.cell.model).promised_mib
        phases = finished.result.phases
        added = max(phases[name].peak_mib for name in ("fit", "recommend")) - phases["import"].peak_mib
        assert added <= promised, f"{added:,.0f} MiB, and promised_mib = {promised:g}"

    @asks("Recommender.save")
    def test_loads_in_another_process(self, finished: Ran) -> None:
        """A model that another process loads, this one, gives the lists of the process that saved it."""
        result, cell = finished.result, finished.result.cell
        assert (finished.folder / "model").is_dir(), "; ".join(result.warnings) or "no model was saved"
        model_class: Any = load_model(cell.model)
        model = model_class(model_class.Config.model_validate(cell.config))
        model.load(finished.folder / "model", cell.device)
        users, items = read_lists(finished.folder / "lists.parquet")
        history, exclude = finished.plan.folds[None].split.visible.inputs(cell.protocol, users)
        made = Recommendations(items, read_scores(finished.folder / "lists.parquet"))
        assert_same_lists(model.recommend(users, history, exclude, cell.list_length), made)


def _card(folder: Path, data: MemorySplit) -> str:
    parts = (data.train, data.valid)
    pairs = tuple(np.concatenate([getattr(part, name) for part in parts]) for name in ("users", "items"))
    return write_card(folder, "checks", (pairs[0], pairs[1]))
