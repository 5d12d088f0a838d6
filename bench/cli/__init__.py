"""The command line: one small file per command, imported when it is called."""

from __future__ import annotations

import errno
import importlib
import logging
import signal
import sys
from typing import Any, NoReturn

import click

from bench.errors import BenchError

_COMMANDS = {
    "run": "Run models on a data set and print the leaderboard.",
    "recommend": "Print what a model recommends to some users, and why.",
    "leaderboard": "Print and write the leaderboards of all results.",
    "compare": "Paired difference of two models, with intervals over users.",
    "models": "List models, or show what one can be configured with.",
    "datasets": "List, describe and prepare data sets.",
    "plugin": "List installed plugins and what is wrong with them.",
    "doctor": "What is installed, what is broken, what this machine can run.",
}


class _Lazy(click.Group):
    """A group whose commands are modules of this package; ``bench --help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"bench.cli.{cmd_name}").command
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from bench.errors import UnknownName

            raise UnknownName("command", args[0], _COMMANDS, "'bench --help'")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="recsys-bench", prog_name="bench")
def cli(debug: bool) -> None:
    """A benchmark of recommenders: identical splits, all users and the long tail, one honest table.

    Begin with:  bench run --models pop,ease --dataset ml-100k
    """


class _Lines(logging.Handler):
    """Warnings as lines on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of ``bench``: errors become one line and an exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    log = logging.getLogger("bench")
    log.handlers = [_Lines()]
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        status = cli.main(arguments, prog_name="bench", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        status = exit_.exit_code
    except click.ClickException as error:
        if arguments:
            click.echo(f"error: {_one_usage_line(error)}", err=True)
        else:
            error.show()  # "bench" alone: the help
        status = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted: finished cells are kept, run the same command again to go on", err=True)
        status = 130
    except BrokenPipeError:
        sys.stderr.close()
        status = 141
    except Exception as error:
        if "--debug" in arguments:
            raise
        click.echo(f"error: {_one_line(error)}", err=True)
        status = 1
    sys.exit(status if isinstance(status, int) else 0)


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _one_usage_line(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split()).rstrip(".")
    return f"{text} (see '{context.command_path} --help')" if context else text


def _one_line(error: Exception) -> str:
    if isinstance(error, BenchError):
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f" at {error.filename}" if error.filename else ""
        return f"the disk is full{where}: free some space and run the same command again; finished cells are kept"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}: check the path and its permissions"
    from bench.errors import one_line

    return f"{one_line(error)}: this should not happen; run again as 'bench --debug …' and report what it prints"
