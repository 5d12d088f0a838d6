"""``bench plugin``."""

from __future__ import annotations

import json
import textwrap
import time
from pathlib import Path

import click

from bench.cli.options import config_options, set_option
from bench.errors import ConfigError, plain


@click.group("plugin", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List plugins, begin a new one, and check what it promises."""
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


@command.command("test")
@click.argument("name")
@set_option
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True, help="For all checks."
)
def test_plugin(name: str, changes: tuple[str, ...], seconds: float) -> None:
    """Check on small data whether the model NAME, or NAME@PRESET, keeps the contract. Exit status 1 if it does not.

    A slow model is made quick with --set, such as --set NAME.epochs=3.
    """
    from bench.messages.description import ModelRequest
    from bench.testing.session import Checked, check_model

    def tell(one: Checked) -> None:
        click.echo(f"{one.outcome:7} {one.name}")
        if one.detail:
            click.echo(textwrap.indent(textwrap.fill(one.detail, 92, break_on_hyphens=False), " " * 8))

    model = ModelRequest.parse(name).model
    options = config_options(changes, None)
    if strangers := set(options) - {model}:
        raise ConfigError(f"--set changes {plain(', '.join(sorted(strangers)))}, and {plain(model)} is checked")
    start = time.monotonic()
    done = check_model(name, options.get(model, {}), seconds, tell)
    failed, taken = sum(one.outcome == "failed" for one in done), time.monotonic() - start
    click.echo(f"\n{failed or 'none'} of {len(done)} checks of {plain(name)} failed, {taken:.0f} s")
    if failed:
        raise SystemExit(1)
