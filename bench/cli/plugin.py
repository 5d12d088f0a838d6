"""``bench plugin``."""

from __future__ import annotations

import json
import re
import textwrap
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import POSITIVE, config_options, set_option
from bench.errors import ConfigError, plain

if TYPE_CHECKING:
    from bench.runs.describe import Health


@click.group("plugin", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List, add and remove plugins, begin a new one, and check what it promises."""
    if context.invoked_subcommand is None:
        context.invoke(list_plugins)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_plugins(as_json: bool = False) -> None:
    """List all plugins; each is imported in a process of its own to see whether it works."""
    from bench.runs.describe import check_plugins

    if as_json:
        click.echo(json.dumps([vars(health) for health in check_plugins()], indent=2))
        return
    some = False
    for health in check_plugins():
        some = True
        click.echo(_line(health))
    if not some:
        click.echo("no plugins are installed")


def _line(health: Health) -> str:
    lives = f"  in {plain(str(health.environment))}" if health.environment else ""
    return f"{plain(health.name):16} {health.distribution} {health.version}{lives}  {health.error or 'ok'}"


@command.command("add")
@click.argument("what", metavar="PATH-OR-NAME")
@click.option("--isolated", is_flag=True, help="In an environment of its own, for one that needs other versions.")
@click.option("--with", "beside", multiple=True, help="Another folder or requirement to install, such as 'numpy<2'.")
@click.option("-e", "--editable", is_flag=True, help="Later changes in the folder count.")
@click.option("--python", help="Interpreter of the environment: a path or a command, such as python3.12.  [this one]")
def add_plugin(what: str, isolated: bool, beside: tuple[str, ...], editable: bool, python: str | None) -> None:
    """Install a plugin: a folder, a wheel, or a name as pip takes it.

    With --isolated it gets an environment in $BENCH_ENVIRONMENTS_DIR, or the user's data folder, with the core and
    pytest for 'bench plugin test'; its workers run there. Without, it is installed beside the core, whose packages keep
    their versions. uv is used if it is there.
    """
    from bench.code import canonical
    from bench.runs.describe import check_plugins
    from bench.runs.install import add_beside, add_isolated

    if python and not isolated:
        raise ConfigError("--python is for --isolated: beside the core there is one interpreter")
    if isolated:
        made = add_isolated(what, beside, editable, python)
        checked = check_plugins(lambda plugin: plugin.environment is not None and plugin.environment.name == made.name)
    else:
        name = add_beside(what, beside, editable)
        checked = check_plugins(lambda plugin: plugin.environment is None and canonical(plugin.distribution) == name)
    found = list(checked)
    for health in found:
        click.echo(_line(health))
    if not found or any(health.error for health in found):
        raise SystemExit(1)


@command.command("remove")
@click.argument("name")
def remove_plugin(name: str) -> None:
    """Remove the plugin NAME (a distribution of 'bench plugin list') and its environment. Results stay."""
    from bench.runs.install import remove_plugin

    click.echo(remove_plugin(name))


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
    steps = [
        *(
            f"pip install {name}    # from a clone of the project: its folder below plugins"
            for name in _missing(folder)
        ),
        f"pip install -e {folder}    # what needs other versions than the core: bench plugin add {folder} --isolated",
        f"bench run --models {name},pop --dataset ml-100k",
        f"bench plugin test {name}    # needs pytest: pip install 'recsys-bench[testing]'",
    ]
    lines = "\n".join(f"    {step}" for step in steps)
    click.echo(f"{len(files)} files in {folder}; the model is {model}. Next:\n\n{lines}")


def _missing(folder: Path) -> list[str]:
    """What a package requires that is not installed."""
    from importlib import metadata

    from bench.code import canonical

    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = {canonical(one.name) for one in metadata.distributions()}
    return [name for line in project["dependencies"] if (name := canonical(line)) not in installed]


@command.command("test")
@click.argument("name")
@set_option
@click.option("--seconds", type=POSITIVE, default=30.0, show_default=True, help="For all checks.")
def test_plugin(name: str, changes: tuple[str, ...], seconds: float) -> None:
    """Check on small data whether the model NAME, or NAME@PRESET, keeps the contract. Exit status 1 if it does not.

    A slow model is made quick with --set, such as --set NAME.epochs=3.
    """
    from bench.messages.description import ModelRequest
    from bench.testing.session import Checked, check_model

    found_before: set[str] = set()

    def tell(one: Checked) -> None:
        if one.outcome == "not run":  # they are counted at the end
            return
        alike = re.sub(r"\d+", "0", one.detail.rpartition("; found: ")[2])
        again = one.detail and alike in found_before
        found_before.add(alike)
        click.echo(f"{one.outcome:7} {one.name}" + (", as before" if again else ""))
        if one.detail and not again:
            click.echo(textwrap.indent(textwrap.fill(one.detail, 92, break_on_hyphens=False), " " * 8))

    model = ModelRequest.parse(name).model
    options = config_options(changes, None)
    if strangers := set(options) - {model}:
        raise ConfigError(f"--set changes {plain(', '.join(sorted(strangers)))}, and {plain(model)} is checked")
    start = time.monotonic()
    done = check_model(name, options.get(model, {}), seconds, tell)
    taken = time.monotonic() - start
    failed, not_run = (sum(one.outcome == outcome for one in done) for outcome in ("failed", "not run"))
    if not_run:
        click.echo(f"not run {not_run} checks need a fitted model")
    click.echo(f"\n{failed or 'none'} of {len(done)} checks of {plain(name)} failed, {taken:.0f} s")
    if failed:
        raise SystemExit(1)
