"""Ask a plugin, in a process of its own, what a model is and what config a request comes to.

The parent never imports model code: it sends requests ``{"model", "preset", "options"}`` as JSON and gets
descriptions back. Answers are kept by the hash of the plugin's source.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.contract import Explains
from bench.errors import BenchError, UnknownName
from bench.files import cache_folder, content_hash, write_json
from bench.plugins import Plugin, find_model, load_model, one_line

_MARK = "bench-descriptions:"


@dataclass(frozen=True)
class Request:
    """A model as the user asks for it."""

    model: str
    preset: str | None = None
    options: Mapping[str, Any] | None = None

    @staticmethod
    def parse(text: str) -> Request:
        """``name`` or ``name@preset``."""
        model, _, preset = text.strip().partition("@")
        return Request(model, preset or None)


class AblationDescription(BaseModel):
    """A part of the model that can be left away."""

    model_config = ConfigDict(frozen=True)

    changes: dict[str, Any]
    """As the plugin states them."""
    config: dict[str, Any]
    """What they make of the config that was asked for. It may be invalid, which the worker will say."""


class Description(BaseModel):
    """A model as its plugin describes it."""

    model_config = ConfigDict(frozen=True)

    model: str
    about: str
    """First line of the class's docstring."""
    deterministic: bool
    presets: list[str]
    preset: str
    """The preset that was asked for, or the default one."""
    config: dict[str, Any]
    """The whole config that the preset and options come to."""
    config_schema: dict[str, Any]
    ablations: dict[str, AblationDescription]
    explains: bool
    """Whether it can say why it recommends an item."""


def describe(requests: Sequence[Request]) -> list[Description]:
    """Descriptions in the order of ``requests``.

    Raises
    ------
    BenchError
        For an unknown model, preset, config key or a wrong value, or a plugin that does not import.
    """
    answers = _answers(requests)
    for answer in answers:
        if "error" in answer:
            raise BenchError(answer["error"])
    return [Description.model_validate(answer) for answer in answers]


def errors(requests: Sequence[Request]) -> list[str | None]:
    """What is wrong with each request; None where nothing is."""
    return [answer.get("error") for answer in _answers(requests)]


def _answers(requests: Sequence[Request]) -> list[dict[str, Any]]:
    """A description or ``{"error": …}`` for each request, from one process for each distribution."""
    plugins = [find_model(request.model) for request in requests]
    questions = [{"model": r.model, "preset": r.preset, "options": dict(r.options or {})} for r in requests]
    answers: dict[int, dict[str, Any]] = {}
    unknown_ones: dict[tuple[str, str], list[int]] = {}
    for i, (plugin, question) in enumerate(zip(plugins, questions, strict=True)):
        path = _path(plugin, question)
        if path.is_file():
            answers[i] = json.loads(path.read_text(encoding="utf-8"))
        else:
            unknown_ones.setdefault((plugin.interpreter, plugin.distribution), []).append(i)
    for (interpreter, _), places in unknown_ones.items():
        for i, answer in zip(places, _ask(interpreter, [questions[i] for i in places]), strict=True):
            answers[i] = answer
            if "error" not in answer:
                write_json(_path(plugins[i], questions[i]), answer)
    return [answers[i] for i in range(len(requests))]


def _path(plugin: Plugin, question: Mapping[str, Any]) -> Path:
    """Where the answer is kept, for this version of the plugin's code and of what is asked."""
    asked = [question, list(Description.model_fields)]
    identity = [plugin.interpreter, plugin.distribution, plugin.version, plugin.source_hash(), *asked]
    return cache_folder() / "descriptions" / f"{content_hash(identity)[:24]}.json"


def _ask(interpreter: str, questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [interpreter, "-m", "bench.runs.describe"],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=False,
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        error = f"asking {interpreter} to describe it failed (exit status {done.returncode}): {last}"
        return [{"error": f"{question['model']}: {error}"} for question in questions]
    answers: list[dict[str, Any]] = json.loads(line.removeprefix(_MARK))
    return answers


def import_error(plugin: Plugin) -> str | None:
    """Why the module of a plugin cannot be used, tried in another process; None if it can."""
    code = f"import {plugin.module} as plugin; from bench.plugins import check; check(plugin)"
    done = subprocess.run([plugin.interpreter, "-c", code], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]


def _answer(question: Mapping[str, Any]) -> dict[str, Any]:
    name = question["model"]
    try:
        model: Any = load_model(name)
        presets: Mapping[str, Mapping[str, Any]] = getattr(model, "presets", None) or {"default": {}}
        preset = question["preset"] or next(iter(presets))
        if preset not in presets:
            raise UnknownName(f"preset of {name}", preset, presets, f"'bench models info {name}'")
        fields = model.Config.model_fields
        for key in question["options"]:
            if key not in fields:
                raise UnknownName(f"config key of {name}", key, fields, f"'bench models info {name}'")
        config = make_config(name, model, {**presets[preset], **question["options"]})
        return Description(
            model=name,
            about=(model.__doc__ or "").strip().split("\n")[0],
            deterministic=model.deterministic,
            presets=list(presets),
            preset=preset,
            config=config.model_dump(mode="json"),
            config_schema=model.Config.model_json_schema(),
            ablations={
                ablation: AblationDescription(changes=dict(changes), config=_ablated(name, model, config, changes))
                for ablation, changes in (getattr(model, "ablations", None) or {}).items()
            },
            explains=issubclass(model, Explains),
        ).model_dump(mode="json")
    except Exception as error:  # noqa: BLE001 (a stranger's code may raise anything; the parent shows one line)
        return {"error": one_line(error) if isinstance(error, BenchError) else f"{name}: {one_line(error)}"}


def make_config(name: str, model: Any, values: Mapping[str, Any]) -> Any:
    """The config of a model class.

    Raises
    ------
    BenchError
        With the first thing that is wrong with the values, in one line.
    """
    try:
        return model.Config(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "config"
        what = f"{name}: {where} = {first['input']!r}: {first['msg']}; see 'bench models info {name}'"
        raise BenchError(" ".join(what.split())) from error


def _ablated(name: str, model: Any, config: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    values = {**config.model_dump(), **changes}
    try:
        found: dict[str, Any] = make_config(name, model, values).model_dump(mode="json")
    except BenchError:
        return {**config.model_dump(mode="json"), **changes}
    return found


if __name__ == "__main__":
    # Plugins may print while they are imported, so the answer is marked.
    sys.stdout.write(f"\n{_MARK}{json.dumps([_answer(question) for question in json.load(sys.stdin)])}\n")
