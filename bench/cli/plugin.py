"""``bench plugin``."""

from __future__ import annotations

import json
from pathlib import Path

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


@command.command("new")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["score", "torch", "sequence", "text"]),
    default="score",
    show_default=True,
    help="What to begin from: a matrix, a network, one that reads sequences, or one that reads texts of items.",
)
@click.option("--to", "target", type=click.Path(path_type=Path), help="The new folder.  [NAME]")
def new_plugin(name: str, kind: str, target: Path | None) -> None:
    """Write a package with a model NAME that works, to change into your own."""
    from bench.cli.template import new_package

    folder = target or Path(name)
    files = new_package(name, kind, folder)
    model = next(path for path in files if path.name == "model.py")
    click.echo(
        f"{len(files)} files in {folder}; the model is {model}. Next:\n\n"
        f"    pip install -e {folder}\n"
        f"    bench run --models {name},pop --dataset ml-100k\n"
        f"    bench plugin test {name}"
    )
