"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml

from bench.errors import ConfigError
from bench.yaml_files import read_yaml


def config_options(changes: tuple[str, ...], file: Path | None) -> dict[str, dict[str, Any]]:
    """Config changes by model, from a YAML file and from ``MODEL.KEY=VALUE`` words, which win."""
    try:
        loaded = read_yaml(file.read_text(encoding="utf-8")) if file else {}
        if not isinstance(loaded or {}, dict) or not all(isinstance(part, dict) for part in (loaded or {}).values()):
            raise ConfigError(f"{file}: expected 'model: {{key: value}}' for each model")
        options: dict[str, dict[str, Any]] = {model: dict(part) for model, part in (loaded or {}).items()}
        given: set[tuple[str, str]] = set()
        for change in changes:
            path, equals, value = change.partition("=")
            model, dot, key = path.rpartition(".")
            if not (equals and dot and model and key):
                raise ConfigError(f"--set takes MODEL.KEY=VALUE, not '{change}'")
            if (model, key) in given:
                raise ConfigError(f"--set gives {model}.{key} twice")
            given.add((model, key))
            options.setdefault(model, {})[key] = read_yaml(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"no valid YAML in {file or '--set'}: {' '.join(str(error).split())}") from error
    return options


def protocol_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose and change a protocol."""
    parts = ["train", "train+valid"]
    for option in (
        click.option("--fit", type=click.Choice(parts), help="What models are fitted on.  [train]"),
        click.option("--candidates", type=click.Choice(["all", "train"]), help="Rank all items, or those in train."),
        click.option("--exclude", type=click.Choice(["none", *parts]), help="What is not recommended at test."),
        click.option("--history", type=click.Choice(parts), help="What is known of a user at test."),
        click.option(
            "--split-seed", type=click.IntRange(min=0), help="Seed of the split; another is another protocol."
        ),
        click.option(
            "--protocol",
            help="random, colarec or strong, each [:N] for N splits, loo[:K], temporal, kfold[:K] or published.  "
            "[the data set's]",
        ),
    ):
        command = option(command)
    return command


raw_dir_option = click.option(
    "--raw-dir", type=click.Path(path_type=Path), help="Folder of raw files.  [$BENCH_RAW_DIR]"
)
results_option = click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True)


def _there(context: click.Context, parameter: click.Parameter, value: tuple[Path, ...]) -> tuple[Path, ...]:
    if len(value) > 1 and (missing := [path for path in value if not path.is_dir()]):
        raise ConfigError(f"{missing[0]} is no folder: check --results")
    return value


many_results_option = click.option(
    "--results",
    type=click.Path(path_type=Path),
    multiple=True,
    default=[Path("results")],
    show_default="results",
    callback=_there,
    help="Results folder; more than one are read as one, and files go to the first.",
)


def _named(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None or not value.endswith((".yaml", ".yml")):
        return value
    from bench.data.catalog import card

    return card(value).name


stored_dataset_option = click.option(
    "--dataset", callback=_named, help="Only what is of this data set, by its name or the path of its card."
)
set_option = click.option(
    "--set", "changes", multiple=True, metavar="MODEL.KEY=VALUE", help="Change a model's config; repeatable."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


class _Positive(click.FloatRange):
    """A number above 0 that is one: a range alone lets nan and inf pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


POSITIVE = _Positive(min=0, min_open=True)
time_budget_option = click.option("--time-budget", type=POSITIVE, help="Processor seconds of training.")
trial_time_option = click.option("--trial-time", type=POSITIVE, help="Processor seconds of a trial's training.")
confine_option = click.option(
    "--unconfined", is_flag=True, help="Do not confine workers; rows say so.  [confined on Linux]"
)


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())


track_option = click.option(
    "--track",
    envvar="BENCH_TRACK",
    callback=_names,
    help="Trackers that are told of all cells, such as csv,mlflow.  [$BENCH_TRACK]",
)


def files(paths: list[Path]) -> str:
    """Paths that differ in their endings, in short."""
    return f"{paths[0].with_suffix('')}.{{{','.join(path.suffix[1:] for path in paths)}}}"
