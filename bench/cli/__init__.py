"""The command line.

This module imports the standard library alone: it can say in one line that a package is missing or broken.
"""

from __future__ import annotations

import errno
import logging
import signal
import sys
from typing import Any, NoReturn

from bench.errors import BenchError, one_line


class _Lines(logging.Handler):
    """Warnings as lines on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stderr)  # noqa: T201


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of ``bench``: errors become one line and an exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    log = logging.getLogger("bench")
    log.handlers = [_Lines()]
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        status = _run(arguments)
    except KeyboardInterrupt:
        goes_on = bool({"run", "tune"} & set(arguments[:2]))
        way_on = ": finished cells are kept, run the same command again to go on" if goes_on else ""
        print(f"interrupted{way_on}", file=sys.stderr)  # noqa: T201
        status = 130
    except BrokenPipeError:
        sys.stderr.close()
        status = 141
    except Exception as error:
        if "--debug" in arguments:
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)  # noqa: T201
        status = 1
    sys.exit(status)


def _run(arguments: list[str]) -> int:
    """The exit status of a command."""
    import click

    from bench.cli.commands import cli

    try:
        status = cli.main(arguments, prog_name="bench", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        if arguments:
            click.echo(f"error: {_one_usage_line(error)}", err=True)
        else:
            error.show()  # "bench" alone: the help
        return error.exit_code
    return status if isinstance(status, int) else 0


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _one_usage_line(error: Any) -> str:
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
        from bench.files import without_draft

        return f"{without_draft(str(error.filename))}: {error.strerror}: check the path and its permissions"
    from bench.installation import broken

    if found := broken():
        return "; ".join(f"{package}: {what}" for package, what in found.items()) + " ('bench doctor' checks the rest)"
    return f"{one_line(error)}: this should not happen; run again as 'bench --debug …' and report what it prints"
