"""The process that describes models: ``INPUT/questions.json`` in, ``OUTPUT/answers.json`` out.

A question is a :class:`bench.messages.description.ModelRequest`, an answer a description or an ``error`` with its
``kind``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.code import check_libraries
from bench.contract import ModelConfig, Recommender
from bench.errors import BenchError, ConfigError, UnknownName, one_line, place_of
from bench.files import write_json
from bench.messages.description import AblationDescription, Description, ModelRequest
from bench.plugins import find_model, load_model
from bench.worker.config import make_config


def main(asked: Path, told: Path) -> None:
    """Answer all questions."""
    questions = json.loads((asked / "questions.json").read_text(encoding="utf-8"))
    write_json(told / "answers.json", [_answer(ModelRequest.model_validate(question)) for question in questions])


def configured(request: ModelRequest) -> tuple[type[Recommender], str, ModelConfig]:
    """The class, the name of the preset and the config that a request comes to."""
    name = request.model
    model = load_model(name)
    preset = request.preset or next(iter(model.presets))
    if preset not in model.presets:
        raise UnknownName(f"preset of {name}", preset, model.presets, f"'bench models info {name}'")
    fields = model.Config.model_fields
    for key in request.options:
        if key not in fields:
            raise UnknownName(f"config key of {name}", key, fields, f"'bench models info {name}'")
    return model, preset, make_config(name, model, {**model.presets[preset], **request.options})


def _answer(request: ModelRequest) -> dict[str, Any]:
    name = request.model
    try:
        model, preset, config = configured(request)
        check_libraries(find_model(name))
        return Description(
            model=name,
            about=(model.__doc__ or "").strip().split("\n")[0],
            deterministic=model.deterministic,
            distributed=model.distributed,
            fold_in=model.fold_in,
            longest_list=model.longest_list(config),
            presets=list(model.presets),
            preset=preset,
            config=config.model_dump(mode="json"),
            config_schema=model.Config.model_json_schema(),
            ablations={
                ablation: AblationDescription(changes=dict(changes), config=_ablated(name, model, config, changes))
                for ablation, changes in model.ablations.items()
            },
            explains=model.explains(),
        ).model_dump(mode="json")
    except BenchError as error:
        return {"error": str(error), "kind": type(error).__name__}
    except Exception as error:  # noqa: BLE001 (a stranger's code may raise anything; the parent shows one line)
        told = one_line(error) + place_of(error, find_model(name).package)
        return {"error": f"{name}: {told}", "kind": "PluginError"}


def _ablated(name: str, model: type[Recommender], config: ModelConfig, changes: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return make_config(name, model, {**config.model_dump(), **changes}).model_dump(mode="json")
    except ConfigError:  # the worker will say so, when the ablation is run
        return {**config.model_dump(mode="json"), **changes}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
