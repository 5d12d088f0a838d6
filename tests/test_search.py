"""Search spaces: declared on the fields of a config, shown, and refused where they cannot be."""

from types import SimpleNamespace
from typing import Annotated, Literal

import pytest
from pydantic import create_model

from bench import ModelConfig, Search
from bench.cli.models import _space
from bench.runs.sampler import Sampler, search_space


class Config(ModelConfig):
    """A config with every kind of space."""

    rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = 1e-3
    layers: Annotated[int, Search(1, 4)] = 2
    loss: Annotated[Literal["bce", "softmax"], Search(choices=("bce", "softmax"))] = "bce"
    epochs: int = 10
    negatives: Annotated[int, Search(1, 64, only_if=("loss", "softmax"))] = 8


def test_schema_of_a_config_holds_the_spaces():
    fields = Config.model_json_schema()["properties"]
    assert fields["rate"]["search"] == {"low": 1e-4, "high": 1e-2, "log": True}
    assert fields["layers"]["search"] == {"low": 1, "high": 4, "log": False}
    assert fields["loss"]["search"] == {"choices": ["bce", "softmax"]}
    assert "search" not in fields["epochs"]
    assert fields["negatives"]["search"]["only_if"] == ["loss", ["softmax"]]


@pytest.mark.parametrize(("loss", "searched"), [("bce", False), ("softmax", True)])
def test_a_field_without_effect_is_not_searched(loss, searched):
    config = Config(loss=loss)
    about = SimpleNamespace(model="m", config=config.model_dump(), config_schema=Config.model_json_schema())
    space = search_space(about)
    assert ("negatives" in space) == searched
    assert {"rate", "layers", "loss"} <= set(space)
    assert all("only_if" not in part for part in space.values())


def test_a_space_binds_no_value():
    """Where tuning looks is not what is allowed."""
    assert Config(rate=0.5).rate == 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"low": 1},
        {"low": 2, "high": 1},
        {"low": 1, "high": 1},
        {"low": 0, "high": 1, "log": True},
        {"low": 0, "high": 1, "choices": (1, 2)},
        {"choices": (1, 2), "log": True},
    ],
)
def test_a_space_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="give low < high"):
        Search(**wrong)


def test_spaces_are_shown(bench):
    done = bench("models", "info", "ease")
    assert done.status == 0
    assert "tuned from 1 to 10000 by factors" in done.out


def test_a_condition_is_shown():
    space = Config.model_json_schema()["properties"]["negatives"]["search"]
    assert _space(space) == 'from 1 to 64, if loss is "softmax"'


@pytest.mark.parametrize(
    ("field", "space"),
    [
        (Annotated[int | None, Search(2, 30)], {"low": 2, "high": 30, "type": "integer"}),
        (Annotated[float | None, Search(0.1, 10, log=True)], {"low": 0.1, "high": 10, "type": "number"}),
        (Annotated[int, Search(1.5, 8.2)], {"low": 2, "high": 8, "type": "integer"}),
        (Annotated[int, Search(0.5, 8, log=True)], {"low": 1, "high": 8, "type": "integer"}),
    ],
)
def test_spaces_are_of_the_type_of_their_field(field, space):
    config = create_model("Config", __base__=ModelConfig, x=(field, None if "None" in str(field) else 4))
    described = SimpleNamespace(model="m", config=config().model_dump(), config_schema=config.model_json_schema())
    found = search_space(described)
    assert {name: found["x"][name] for name in space} == space
    sampler = Sampler(described, found, 1, together=False)
    for number in range(12):
        asked = sampler.ask(number)
        assert asked == {} if number == 0 else space["low"] <= asked["x"] <= space["high"]
        assert number == 0 or isinstance(asked["x"], int) == (space["type"] == "integer")
        sampler.tell(number, 0.1)


def test_a_preset_with_a_none_that_is_a_choice_is_a_point_of_the_space():
    config = create_model(
        "Config", __base__=ModelConfig, x=(Annotated[float | None, Search(choices=(None, 1.0))], None)
    )
    described = SimpleNamespace(model="m", config=config().model_dump(), config_schema=config.model_json_schema())
    sampler = Sampler(described, search_space(described), 1, together=False)
    assert sampler.ask(0) == {}
    sampler.tell(0, 0.5)
    [trial] = sampler.study.trials
    assert (trial.params, trial.value) == ({"x": None}, 0.5)
