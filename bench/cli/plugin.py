"""``bench plugin``."""

from __future__ import annotations

import json

import click

from bench.errors import plain


@click.group("plugin", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List installed plugins and what is wrong with them."""
    if context.invoked_subcommand is None:
        context.invoke(list_plugins)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_plugins(as_json: bool = False) -> None:
    """List all plugins; each is imported in a process of its own to see whether it works."""
    from bench.runs.describe import check_plugins

    found = check_plugins()
    if as_json:
        click.echo(json.dumps([vars(health) for health in found], indent=2))
        return
    for health in found:
        click.echo(f"{plain(health.name):16} {health.distribution} {health.version}  {health.error or 'ok'}")
    if not found:
        click.echo("no plugins are installed")
