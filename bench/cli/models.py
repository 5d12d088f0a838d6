"""``bench models``."""

from __future__ import annotations

import json
from typing import Any

import click

from bench.cli.options import config_options, set_option
from bench.errors import ConfigError, plain


@click.group("models", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List models, or show what one can be configured with."""
    if context.invoked_subcommand is None:
        context.invoke(list_models)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_models(as_json: bool = False) -> None:
    """List all models; a name that ends in ':' is a family, completed by the name of a model of it."""
    from bench.plugins import installed

    plugins = installed()
    if as_json:
        rows = [
            {
                "name": p.name,
                "plugin": p.distribution,
                "version": p.version,
                "environment": str(p.environment.folder) if p.environment else None,
                "problem": p.problem or None,
            }
            for p in plugins
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    for plugin in plugins:
        name = plain(f"{plugin.name}…" if plugin.is_family else plugin.name)
        broken = f"  cannot be used: {plain(plugin.problem)}" if plugin.problem else ""
        lives = f"  in {plain(str(plugin.environment.folder))}" if plugin.environment else ""
        click.echo(f"{name:16} {plugin.distribution} {plugin.version}{lives}{broken}")
    if not plugins:
        click.echo("no models: install a plugin, for instance recsys-bench-classic")


@command.command("fetch")
@click.argument("name")
@set_option
def fetch(name: str, changes: tuple[str, ...]) -> None:
    """Download what a model needs, such as a pretrained backbone; NAME may be model@preset.

    Models have no network while they are run. This starts the plugin with network and without data.
    """
    from bench.messages.description import ModelRequest
    from bench.runs.fetch import fetch_model

    request = ModelRequest.parse(name)
    options = config_options(changes, None)
    if strangers := set(options) - {request.model}:
        raise ConfigError(f"options are given for {', '.join(sorted(strangers))}, where {request.model} is fetched")
    fetch_model(request.model_copy(update={"options": options.get(request.model, {})}))
    click.echo(f"{name}: everything it needs is here")


@command.command("info")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, the config as a JSON schema.")
def info(name: str, as_json: bool) -> None:
    """Show presets and config keys of a model, with defaults; NAME may be model@preset."""
    from bench.messages.description import ModelRequest
    from bench.runs.describe import describe

    [found] = describe([ModelRequest.parse(name)])
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    click.echo(f"{found.model}: {found.about}")
    click.echo(f"presets: {', '.join(found.presets)} (shown: {found.preset})")
    explains = "explains its recommendations ('bench recommend --explain')\n" if found.explains else ""
    explains += "can be trained by several processes ('bench run --processes')\n" if found.distributed else ""
    click.echo(f"{explains}lists {'do not depend' if found.deterministic else 'depend'} on the seed\n")
    for key, field in found.config_schema.get("properties", {}).items():
        click.echo(f"  {key} = {json.dumps(found.config[key])}  ({_type(field)})")
        if field.get("description"):
            click.echo(f"      {' '.join(field['description'].split())}")
        if space := field.get("search"):
            click.echo(f"      tuned {_space(space)}")
    for name, ablation in found.ablations.items():
        changes = ", ".join(f"{key} = {json.dumps(value)}" for key, value in ablation.changes.items())
        click.echo(f"  --ablate {name}: {changes}")
    if found.config:
        key = next(iter(found.config))
        click.echo(f"\nchange one with:  bench run --models {found.model} --set {found.model}.{key}=VALUE …")


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(part) for part in field["anyOf"])
    if "enum" in field:
        return " | ".join(json.dumps(value) for value in field["enum"])
    return str(field.get("type", "any"))


def _space(space: dict[str, Any]) -> str:
    if "choices" in space:
        told = f"among {', '.join(json.dumps(value) for value in space['choices'])}"
    else:
        told = f"from {space['low']:g} to {space['high']:g}{' by factors' if space['log'] else ''}"
    name, values = space.get("only_if", ("", ()))
    return f"{told}, if {name} is {' or '.join(json.dumps(value) for value in values)}" if name else told
