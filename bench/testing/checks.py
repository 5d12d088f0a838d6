"""The published checks of a model in this process; see :mod:`bench.testing`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from bench.contract import Recommender, Search
from bench.evaluation import metrics, violations
from bench.files import write_json
from bench.interactions import UNFILLED, Interactions, Recommendations
from bench.messages.description import ModelRequest
from bench.testing.asks import asks
from bench.testing.local import (
    Interrupted,
    LocalContext,
    MemorySplit,
    assert_same_lists,
    block_interactions,
    interactions_from,
    ndcg,
    renumbered,
)
from bench.testing.pickles import is_pickle
from bench.worker.describe import configured
from bench.worker.explanations import explanations

Users = NDArray[np.int64]

CHANCE = 0.1
"""NDCG@10 of random lists on the data of the checks; lists of the user's own block have about .6."""
_BETTER = 0.25
"""NDCG@10 that is surely above chance."""
_BY_NUMBERS = 0.2
"""Difference of NDCG@10 under two numberings that is more than chance."""


class Again(NamedTuple):
    """A model that was fitted once more in the same way."""

    model: Any
    kept: Path
    """Where its cached arrays are, if it has some."""
    written: list[str]
    """What it wrote into the folder that it was started in."""


class ModelChecks:
    """Checks that every model has to pass."""

    name: ClassVar[str]
    """Of the model, as users give it to ``bench run --models``, perhaps with a preset."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Changes to the config of the preset."""
    fold_in_ndcg: ClassVar[float | None] = 0.2
    """NDCG@10 to reach for users that are not in train, where chance is about .1. None leaves this check out, for a
    model that reads the history but learns too little from data as small as this."""
    _data: ClassVar[MemorySplit] = block_interactions()

    def configured(self) -> tuple[type[Recommender], Any]:
        """The class of the model, and its config: that of the preset, with ``options``."""
        request = ModelRequest.parse(self.name).model_copy(update={"options": dict(self.options)})
        model_class, _, config = configured(request)
        return model_class, config

    @classmethod
    def model_class(cls) -> type[Recommender]:
        """The class of the model."""
        return cls().configured()[0]

    def model(self) -> Any:
        """A new model."""
        model_class, config = self.configured()
        return model_class(config)

    def fit(self, folder: Path, seed: int = 1, data: MemorySplit | None = None, **context: Any) -> Any:
        """A new model, fitted to the synthetic data with a working folder below ``folder``."""
        model, data = self.model(), data or self._data
        work = folder / f"work-{seed}-{len(list(folder.iterdir()))}"
        work.mkdir()
        model.fit(data.train, data.valid, LocalContext(model, data, work, seed, **context))
        return model

    def length(self, k: int) -> int:
        """``k``, or as many items as the model says that its lists can hold."""
        model_class, config = self.configured()
        longest = model_class.longest_list(config)
        return k if longest is None else min(k, longest)

    def lists(self, model: Any, users: Users | None = None, k: int = 10) -> Recommendations:
        """What the model recommends when train is both history and excluded."""
        users = np.arange(self._data.train.n_users) if users is None else users
        known = self._data.train.select(users)
        found: Recommendations = model.recommend(users, known, known, k)
        return found

    def personalizes(self, model: Any) -> bool:
        """Whether it says that it is personalized, and users get lists that differ.

        What says so and gives all the same list is told by the check of that alone.
        """
        if not type(model).personalized:
            return False
        lists = self.unfiltered(model, self._data.train)
        return bool((lists != lists[0]).any())

    def unfiltered(self, model: Any, history: Interactions) -> NDArray[np.int32]:
        """Items (users, 10) of all users by their rows of ``history``, where nothing is excluded."""
        users = np.arange(history.n_users)
        nothing = interactions_from([[] for _ in users], history.n_items)
        items: NDArray[np.int32] = model.recommend(users, history, nothing, 10).items
        return items

    @pytest.fixture(scope="class")
    @classmethod
    @asks("Recommender.fit")
    def fitted(cls, tmp_path_factory: pytest.TempPathFactory) -> Any:
        """A model can be fitted to small data in which a user has no train item.

        One for all checks that do not change it.
        """
        return cls().fit(tmp_path_factory.mktemp("fitted"))

    @pytest.fixture(scope="class")
    @classmethod
    @asks("Recommender.fit")
    def again(cls, tmp_path_factory: pytest.TempPathFactory) -> Again:
        """A model can be fitted a second time."""
        here, kept = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("again") / "kept"
        with contextlib.chdir(here):
            model = cls().fit(tmp_path_factory.mktemp("work"), kept=kept)
            cls().lists(model)
        return Again(model, kept, [path.name for path in here.iterdir()])

    @asks("Recommender.lacks")
    def test_has_the_members_of_a_model(self) -> None:
        """A model is a Recommender with fit, score or recommend, and a docstring, which 'bench models info' shows."""
        model_class, _ = self.configured()
        assert isinstance(self.model(), Recommender), "the class makes something else"
        assert isinstance(model_class.deterministic, bool), f"deterministic = {model_class.deterministic!r}"
        assert (model_class.__doc__ or "").strip(), "the class has no docstring"

    @asks("Recommender.Config")
    def test_config_survives_json(self) -> None:
        """A config is the same after it was written and read as JSON, as results keep it."""
        config = self.model().config
        again = type(config).model_validate_json(config.model_dump_json())
        assert again == config, f"{config!r} became {again!r}"
        assert type(config).model_json_schema()["additionalProperties"] is False, "unknown keys are allowed"

    @asks("Recommender.Config")
    def test_unknown_config_key_is_refused(self) -> None:
        """A config refuses a key that it does not have."""
        config = self.model().config
        with pytest.raises(ValidationError, match="no_such_key"):
            type(config)(**{**config.model_dump(), "no_such_key": 1})

    @asks("Recommender.presets")
    def test_presets_are_valid(self) -> None:
        """There is a preset, and each makes a valid config and a model."""
        model_class, _ = self.configured()
        assert model_class.presets, "there is none"
        for preset, changes in model_class.presets.items():
            assert model_class(model_class.Config(**changes)).config is not None, preset

    @asks("Recommender.presets")
    def test_presets_can_be_tuned_from(self) -> None:
        """A field that is tuned by factors is above 0 in every preset, and depends on fields that are not tuned."""
        model_class, _ = self.configured()
        spaces = {
            name: part
            for name, field in model_class.Config.model_fields.items()
            for part in field.metadata
            if isinstance(part, Search)
        }
        for name, space in spaces.items():
            other = space.only_if[0] if space.only_if else ""
            known = not other or (other in model_class.Config.model_fields and other not in spaces)
            assert known, f"{name} is tuned only by some values of {other}, which is no field, or tuned itself"
        for preset, changes in model_class.presets.items():
            values = model_class.Config(**changes).model_dump()
            for name in (name for name, space in spaces.items() if space.log and values[name] is not None):
                assert values[name] > 0, f"{name} is tuned by factors, and {values[name]} of {preset} is none"

    @asks("Recommender.ablations")
    def test_ablations_are_valid(self) -> None:
        """An ablation has a name for the command line, and changes the config to a valid one."""
        model_class, config = self.configured()
        for ablation, changes in model_class.ablations.items():
            assert changes, f"{ablation} changes nothing"
            assert not set(" ,") & set(ablation), f"'{ablation}' is to be named on a command line"
            assert ablation != "all", "'all' stands for all ablations"
            assert model_class.Config(**{**config.model_dump(), **changes}) is not None, ablation

    @asks("Recommender.fit")
    def test_can_be_fitted(self, fitted: Any) -> None:
        """A model is fitted to small data before the checks below look at its lists."""
        assert fitted is not None

    @asks("Recommender.recommend")
    def test_lists_have_the_promised_form(self, fitted: Any) -> None:
        """Lists are Recommendations of int32 items and float32 scores, both (users, k)."""
        found = self.lists(fitted)
        shape = (self._data.train.n_users, 10)
        assert isinstance(found, Recommendations), f"a {type(found).__name__}"
        for name, array, kind in (("items", found.items, np.int32), ("scores", found.scores, np.float32)):
            assert (array.shape, array.dtype) == (shape, np.dtype(kind)), f"{name} {array.shape} {array.dtype}"
        nobody = self.lists(fitted, np.zeros(0, np.int64)).items.shape
        assert nobody == (0, 10), f"shape {nobody} for no users"

    @pytest.mark.parametrize("k", [1, 10, 48])
    @asks("Recommender.recommend")
    def test_lists_keep_the_contract(self, fitted: Any, k: int) -> None:
        """A list is as long as can be, without an item twice or an excluded one, and its scores do not rise."""
        k = self.length(k)
        _no_violations(self.lists(fitted, k=k), self._data.train, k)

    @asks("Recommender.recommend")
    def test_excluded_items_can_differ_from_the_history(self, fitted: Any) -> None:
        """What must not be recommended is what ``exclude`` says, whatever the history is."""
        users = np.arange(self._data.train.n_users)
        found = fitted.recommend(users, self._data.train, self._data.valid, k := self.length(20))
        _no_violations(found, self._data.valid, k)

    @asks("Recommender.recommend")
    def test_list_is_short_when_few_items_are_left(self, fitted: Any) -> None:
        """Where few items are allowed, all of them stand in the list, and UNFILLED behind them."""
        n_items = self._data.train.n_items
        users = np.array([0, 1, 2], np.int64)
        exclude = interactions_from([list(range(n_items)), list(range(3, n_items)), [7]], n_items)
        found = fitted.recommend(users, self._data.train.select(users), exclude, 10).items
        assert (found[0] == UNFILLED).all(), f"{found[0].tolist()} where no item is allowed"
        assert [*sorted(found[1, :3]), *found[1, 3:]] == [0, 1, 2] + 7 * [UNFILLED], f"{found[1].tolist()} of 0, 1, 2"

    @asks("Recommender.recommend")
    def test_users_without_a_history_get_lists(self, fitted: Any) -> None:
        """A user of whom nothing is known gets a list too, and not that of the lowest numbers: see ``popularity``."""
        nothing = interactions_from([[], []], self._data.train.n_items)
        users = np.array([self._data.train.n_users - 1, 0])
        found = fitted.recommend(users, nothing, nothing, 10)
        _no_violations(found, nothing, 10)
        by_number = (found.items == np.arange(10)).all()
        assert not by_number, "items 0 to 9: keep train.popularity as self.popularity, and name it in state"

    @asks("Recommender.fold_in")
    def test_users_outside_train_are_served_unless_it_says_so(self, fitted: Any, tmp_path: Path) -> None:
        """A model serves users that are not in train by their history alone, or declares fold_in = False."""
        if not type(fitted).fold_in or not self.personalizes(fitted) or self.fold_in_ndcg is None:
            return
        data, held_out = self._data, np.arange(0, 24)
        known = data.train.where(~np.isin(data.train.users, held_out))
        emptied = MemorySplit(known, data.valid.where(~np.isin(data.valid.users, held_out)))
        model = self.fit(tmp_path, data=emptied)
        history = data.train.select(held_out)
        found = model.recommend(held_out.astype(np.int64), history, history, 10)
        score = metrics.per_user(found.items, data.valid.select(held_out), [10], ["ndcg"])["ndcg@10"].mean()
        assert score > self.fold_in_ndcg, f"their NDCG@10 is {score:.2f}, by chance {CHANCE}: declare fold_in = False"

    @asks("Recommender.personalized")
    def test_says_whether_it_is_personalized(self, fitted: Any) -> None:
        """A model whose lists depend on no history declares personalized = False, and no other one does."""
        if type(fitted).personalized:
            assert self.personalizes(fitted), "all users get the same list: declare personalized = False"
            return
        own = self._data.train
        others = own.select(np.arange(own.n_users)[::-1])
        changed = int((self.unfiltered(fitted, own) != self.unfiltered(fitted, others)).any(axis=1).sum())
        assert not changed, f"{changed} of {own.n_users} lists change with the history: leave personalized = True"

    @asks("Recommender.personalized")
    def test_beats_chance_if_it_is_personalized(self, fitted: Any) -> None:
        """A personalized model finds more than chance in data that are easy to learn."""
        score = ndcg(fitted, self._data)
        assert score > (_BETTER if self.personalizes(fitted) else 0), f"NDCG@10 {score:.2f}, by chance {CHANCE}"

    @asks("Recommender.fit")
    def test_other_numbers_of_users_and_items_change_nothing(self, fitted: Any, tmp_path: Path) -> None:
        """Lists are as good where users and items have other numbers, which say nothing of them."""
        data = renumbered(self._data, np.random.default_rng(3))
        before, after = ndcg(fitted, self._data), ndcg(self.fit(tmp_path, data=data), data)
        assert abs(before - after) < _BY_NUMBERS, f"NDCG@10 {before:.2f}, and {after:.2f} under other numbers"

    @asks("Recommender.recommend")
    def test_longer_list_begins_with_the_shorter_one(self, fitted: Any) -> None:
        """The list of 5 is the beginning of that of 10."""
        n_items = self._data.train.n_items
        longest = self.lists(fitted, k=n_items + 5)
        assert (longest.items[:, n_items:] == UNFILLED).all(), "a list is longer than there are items"
        for k in (1, 10):
            head = Recommendations(longest.items[:, :k], longest.scores[:, :k])
            assert_same_lists(self.lists(fitted, k=k), head)

    @asks("Recommender.recommend")
    def test_list_does_not_depend_on_who_else_is_asked_for(self, fitted: Any) -> None:
        """A user's list does not depend on who else is asked for."""
        together = self.lists(fitted)
        for some in (np.array([5]), np.array([40, 3, 17]), np.arange(60)[::-1]):
            alone = self.lists(fitted, some.astype(np.int64))
            assert_same_lists(alone, Recommendations(together.items[some], together.scores[some]))

    @asks("Recommender.fit")
    def test_same_seed_gives_identical_lists(self, fitted: Any, again: Again) -> None:
        """The same data, config and seed give the same lists: Context.seed is the only source of randomness."""
        _identical(self.lists(again.model), self.lists(fitted))

    @pytest.mark.usefixtures("fitted")
    @asks("Recommender.fit")
    def test_writes_only_into_its_folder(self, again: Again) -> None:
        """A model writes into Context.folder alone."""
        assert not again.written, f"it wrote {', '.join(again.written[:3])} into the folder that it was started in"

    @asks("Recommender.deterministic")
    def test_another_seed_matters_unless_deterministic(self, fitted: Any, tmp_path: Path) -> None:
        """Lists depend on the seed, or the model declares deterministic = True."""
        found, expected = self.lists(self.fit(tmp_path, seed=2)), self.lists(fitted)
        same = np.array_equal(found.items, expected.items) and np.array_equal(found.scores, expected.scores)
        declared = type(fitted).deterministic
        assert same == declared, (
            f"deterministic = {declared}, and another seed gives {'the same' if same else 'other'} lists"
        )

    @asks("Context.folder")
    def test_interrupted_fit_gives_identical_lists(self, fitted: Any, tmp_path: Path) -> None:
        """A model that goes on from its checkpoints gives the lists of an uninterrupted fit."""
        model, again = self.model(), self.model()
        with contextlib.suppress(Interrupted):
            model.fit(self._data.train, self._data.valid, LocalContext(model, self._data, tmp_path, interrupt_after=2))
        if any(path.is_file() for path in (tmp_path / "checkpoints").rglob("*")):  # else it is like any first attempt
            again.fit(self._data.train, self._data.valid, LocalContext(again, self._data, tmp_path))
            _identical(self.lists(again), self.lists(fitted))

    @pytest.mark.usefixtures("fitted")
    @asks("Context.time_budget")
    def test_recommends_when_time_was_up_early(self, tmp_path: Path) -> None:
        """A model whose fit was ended by the time budget recommends all the same."""
        found = self.lists(self.fit(tmp_path, time_budget=1e-6))
        _no_violations(found, self._data.train, 10)

    @pytest.mark.usefixtures("fitted")
    @asks("Context.cached")
    def test_kept_arrays_give_identical_lists(self, again: Again, tmp_path: Path) -> None:
        """Lists are the same whether cached arrays were made by this fit or found.

        Nothing else may depend on which, such as a generator that was drawn from.
        """
        if again.kept.exists():
            _identical(self.lists(self.fit(tmp_path, kept=again.kept)), self.lists(again.model))

    @asks("Recommender.save")
    def test_saved_model_gives_identical_lists(self, fitted: Any, tmp_path: Path) -> None:
        """A model that loads what was saved gives the same lists."""
        fitted.save(tmp_path)
        loaded = self.model()
        loaded.load(tmp_path, "cpu")
        _identical(self.lists(loaded), self.lists(fitted))

    @asks("Recommender.save")
    def test_saves_without_pickle(self, fitted: Any, tmp_path: Path) -> None:
        """What a model saves holds no pickle, which runs code where it is loaded."""
        fitted.save(tmp_path)
        files = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
        pickled = [str(path.relative_to(tmp_path)) for path in files if is_pickle(path)]
        assert not pickled, f"a pickle in {', '.join(pickled)}"

    @asks("Recommender.explain")
    def test_explains_each_item_of_a_list(self, fitted: Any, tmp_path: Path) -> None:
        """A model that explains has a mapping for each filled slot, ready to be written as JSON."""
        if self.model_class().explains():
            users = np.arange(self._data.train.n_users)
            found = explanations(fitted, users, self._data.train, self.lists(fitted))
            write_json(tmp_path / "explanations.json", found)


def _no_violations(found: Recommendations, exclude: Interactions, k: int) -> None:
    counted = violations.check(found, exclude, k)[1]
    wrong = ", ".join(f"{number} {kind}" for kind, number in counted.items() if number)
    assert not wrong, f"slots that break it: {wrong}"


def _identical(found: Recommendations, expected: Recommendations) -> None:
    other = (found.items != expected.items).any(axis=1) | (found.scores != expected.scores).any(axis=1)
    assert not other.any(), f"{other.sum()} of {len(other)} lists differ, the first that of user {other.argmax()}"
