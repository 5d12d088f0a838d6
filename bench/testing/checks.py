"""The published checks of a model; see :mod:`bench.testing`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from bench.contract import Recommender, Search
from bench.evaluation import metrics, violations
from bench.interactions import UNFILLED, Recommendations
from bench.plugins import load_model
from bench.testing.local import (
    Interrupted,
    LocalContext,
    MemorySplit,
    assert_same_lists,
    block_interactions,
    interactions_from,
    ndcg,
)

Users = NDArray[np.int64]


class ModelChecks:
    """Checks that every model has to pass."""

    name: ClassVar[str]
    """Of the model, as users give it to ``bench run --models``."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Changes to the config of the default preset."""
    fold_in_ndcg: ClassVar[float | None] = 0.2
    """NDCG@10 to reach for users that are not in train, where chance is about .1. None leaves this check out, for a
    model that reads the history but learns too little from data as small as this."""
    _data: ClassVar[MemorySplit] = block_interactions()

    def model(self) -> Any:
        """A new model with the default preset and ``options``."""
        model_class: Any = load_model(self.name)
        presets = model_class.presets
        return model_class(model_class.Config(**{**next(iter(presets.values())), **self.options}))

    def fit(self, folder: Path, seed: int = 1) -> Any:
        """A new model, fitted to the synthetic data with a working folder below ``folder``."""
        model = self.model()
        work = folder / f"work-{seed}-{len(list(folder.iterdir()))}"
        work.mkdir()
        model.fit(self._data.train, self._data.valid, LocalContext(model, self._data, work, seed))
        return model

    def lists(self, model: Any, users: Users | None = None, k: int = 10) -> Recommendations:
        """What the model recommends when train is both history and excluded."""
        users = np.arange(self._data.train.n_users) if users is None else users
        known = self._data.train.select(users)
        found: Recommendations = model.recommend(users, known, known, k)
        return found

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, tmp_path_factory: pytest.TempPathFactory) -> Any:
        """One fitted model for all checks that do not change it."""
        return cls().fit(tmp_path_factory.mktemp("fitted"))

    def test_has_the_members_of_a_model(self) -> None:
        model_class = load_model(self.name)
        assert isinstance(self.model(), Recommender)
        assert isinstance(model_class.deterministic, bool)
        assert (model_class.__doc__ or "").strip(), "its docstring is what 'bench models info' shows"

    def test_config_survives_json(self) -> None:
        config = self.model().config
        assert type(config).model_validate_json(config.model_dump_json()) == config
        assert type(config).model_json_schema()["additionalProperties"] is False

    def test_unknown_config_key_is_refused(self) -> None:
        config = self.model().config
        with pytest.raises(ValidationError, match="no_such_key"):
            type(config)(**{**config.model_dump(), "no_such_key": 1})

    def test_presets_are_valid(self) -> None:
        model_class: Any = load_model(self.name)
        presets = model_class.presets
        assert presets
        for preset, changes in presets.items():
            assert model_class(model_class.Config(**changes)).config is not None, preset

    def test_presets_can_be_tuned_from(self) -> None:
        model_class: Any = load_model(self.name)
        for preset, changes in model_class.presets.items():
            values = model_class.Config(**changes).model_dump()
            for name, field in model_class.Config.model_fields.items():
                for space in (part for part in field.metadata if isinstance(part, Search)):
                    fits = not space.log or values[name] > 0
                    assert fits, f"{name} is tuned by factors, and {values[name]} of {preset} is none"

    def test_ablations_are_valid(self) -> None:
        model_class: Any = load_model(self.name)
        config = self.model().config.model_dump()
        for ablation, changes in model_class.ablations.items():
            assert changes, f"{ablation} changes nothing"
            assert not set(" ,") & set(ablation), f"'{ablation}' is to be named on a command line"
            assert ablation != "all", "it stands for all ablations"
            assert model_class.Config(**{**config, **changes}) is not None, ablation

    def test_lists_have_the_promised_form(self, fitted: Any) -> None:
        found = self.lists(fitted)
        shape = (self._data.train.n_users, 10)
        assert isinstance(found, Recommendations)
        assert found.items.shape == found.scores.shape == shape
        assert found.items.dtype == np.dtype(np.int32)
        assert found.scores.dtype == np.dtype(np.float32)
        nobody = np.zeros(0, np.int64)
        assert self.lists(fitted, nobody).items.shape == (0, 10)

    @pytest.mark.parametrize("k", [1, 10, 48])
    def test_lists_keep_the_contract(self, fitted: Any, k: int) -> None:
        counted = violations.count(self.lists(fitted, k=k), self._data.train, k)
        assert not any(counted.values()), counted

    def test_excluded_items_can_differ_from_the_history(self, fitted: Any) -> None:
        users = np.arange(self._data.train.n_users)
        found = fitted.recommend(users, self._data.train, self._data.valid, 20)
        counted = violations.count(found, self._data.valid, 20)
        assert not any(counted.values()), counted

    def test_list_is_short_when_few_items_are_left(self, fitted: Any) -> None:
        n_items = self._data.train.n_items
        users = np.array([0, 1, 2], np.int64)
        exclude = interactions_from([list(range(n_items)), list(range(3, n_items)), [7]], n_items)
        found = fitted.recommend(users, self._data.train.select(users), exclude, 10)
        assert (found.items[0] == UNFILLED).all()
        assert sorted(found.items[1, :3]) == [0, 1, 2]
        assert (found.items[1, 3:] == UNFILLED).all()
        assert (found.items[2] != UNFILLED).all()
        np.testing.assert_array_equal(found.scores == -np.inf, found.items == UNFILLED)

    def test_history_stands_in_the_list_when_nothing_is_excluded(self, fitted: Any) -> None:
        n_items = self._data.train.n_items
        users = np.arange(self._data.train.n_users)
        nothing = interactions_from([[]] * len(users), n_items)
        counted = violations.count(fitted.recommend(users, self._data.train, nothing, n_items), nothing, n_items)
        assert not any(counted.values()), counted  # a list as long as the catalogue is short if any item is left out

    def test_user_without_history_gets_a_list(self, fitted: Any) -> None:
        n_items = self._data.train.n_items
        users = np.array([self._data.train.n_users - 1, 0], np.int64)  # the first of them has no train row either
        nothing = interactions_from([[], []], n_items)
        counted = violations.count(fitted.recommend(users, nothing, nothing, 10), nothing, 10)
        assert not any(counted.values()), counted

    def test_history_alone_is_enough_to_fold_in(self, tmp_path: Path) -> None:
        """Users whose train rows are empty, and whose histories say in which block they are."""
        model_class = load_model(self.name)
        if self.fold_in_ndcg is None or not (model_class.fold_in and model_class.personalized):
            return
        data, held_out = self._data, np.arange(0, 24)
        known = data.train.where(~np.isin(data.train.users, held_out))
        emptied = MemorySplit(known, data.valid.where(~np.isin(data.valid.users, held_out)))
        model = self.model()
        model.fit(emptied.train, emptied.valid, LocalContext(model, emptied, tmp_path))
        history = data.train.select(held_out)
        found = model.recommend(held_out.astype(np.int64), history, history, 10)
        scores = metrics.per_user(found.items, data.valid.select(held_out), [10], ["ndcg"])["ndcg@10"]
        assert scores.mean() > self.fold_in_ndcg, (
            "it recommends by chance to users that are not in train: declare fold_in = False"
        )

    def test_longer_list_begins_with_the_shorter_one(self, fitted: Any) -> None:
        n_items = self._data.train.n_items
        longest = self.lists(fitted, k=n_items + 5)
        assert (longest.items[:, n_items:] == UNFILLED).all()
        for k in (1, 10):
            head = Recommendations(longest.items[:, :k], longest.scores[:, :k])
            assert_same_lists(self.lists(fitted, k=k), head)

    def test_list_does_not_depend_on_who_else_is_asked_for(self, fitted: Any) -> None:
        together = self.lists(fitted)
        for some in (np.array([5]), np.array([40, 3, 17]), np.arange(60)[::-1]):
            alone = self.lists(fitted, some.astype(np.int64))
            assert_same_lists(alone, Recommendations(together.items[some], together.scores[some]))

    def test_same_seed_gives_identical_lists(self, fitted: Any, tmp_path: Path) -> None:
        found, expected = self.lists(self.fit(tmp_path)), self.lists(fitted)
        np.testing.assert_array_equal(found.items, expected.items)
        np.testing.assert_array_equal(found.scores, expected.scores)

    def test_interrupted_fit_gives_identical_lists(self, fitted: Any, tmp_path: Path) -> None:
        model, again = self.model(), self.model()
        with contextlib.suppress(Interrupted):
            model.fit(self._data.train, self._data.valid, LocalContext(model, self._data, tmp_path, interrupt_after=2))
        if any(path.is_file() for path in (tmp_path / "checkpoints").rglob("*")):  # else it is like any first attempt
            again.fit(self._data.train, self._data.valid, LocalContext(again, self._data, tmp_path))
            found, expected = self.lists(again), self.lists(fitted)
            np.testing.assert_array_equal(found.items, expected.items)
            np.testing.assert_array_equal(found.scores, expected.scores)

    def test_kept_arrays_give_identical_lists(self, fitted: Any, tmp_path: Path) -> None:
        """Made by this fit, or found: nothing else may depend on which, such as a generator that was drawn from."""
        for name in ("made", "found"):
            model = self.model()
            context = LocalContext(model, self._data, tmp_path / name, kept=tmp_path / "kept")
            model.fit(self._data.train, self._data.valid, context)
            found, expected = self.lists(model), self.lists(fitted)
            np.testing.assert_array_equal(found.items, expected.items)
            np.testing.assert_array_equal(found.scores, expected.scores)
            if not (tmp_path / "kept").exists():
                return

    def test_another_seed_matters_unless_deterministic(self, fitted: Any, tmp_path: Path) -> None:
        found, expected = self.lists(self.fit(tmp_path, seed=2)), self.lists(fitted)
        same = np.array_equal(found.items, expected.items) and np.array_equal(found.scores, expected.scores)
        assert same == type(fitted).deterministic

    def test_saved_model_gives_identical_lists(self, fitted: Any, tmp_path: Path) -> None:
        fitted.save(tmp_path)
        loaded = self.model()
        loaded.load(tmp_path, "cpu")
        found, expected = self.lists(loaded), self.lists(fitted)
        np.testing.assert_array_equal(found.items, expected.items)
        np.testing.assert_array_equal(found.scores, expected.scores)

    def test_writes_only_into_its_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        here = tmp_path / "here"
        here.mkdir()
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(here)
        self.lists(self.fit(tmp_path / "elsewhere"))
        assert list(here.iterdir()) == []

    def test_beats_chance_if_it_is_personalized(self, fitted: Any) -> None:
        # Random lists have an NDCG@10 of about .1, lists of the user's own block about .6.
        assert ndcg(fitted, self._data) > (0.25 if type(fitted).personalized else 0)
