"""The commands: one small file each, imported when it is called."""

from __future__ import annotations

import importlib
import keyword
from typing import Any

import click

COMMANDS = {
    "run": "Run models on a data set and print the leaderboard.",
    "plan": "Write down a table and its tuning before anything of it runs.",
    "estimate": "Memory and time of a run before it runs, by recorded runs.",
    "tune": "Look for the best config of models by validation, with equal trials.",
    "recommend": "Print what a model recommends to some users, and why.",
    "leaderboard": "Print and write the leaderboards of all results.",
    "report": "Make one HTML page of all results, or LaTeX and Markdown.",
    "compare": "Paired difference of two models, with intervals over users.",
    "verify": "Run a stored row again, and say whether its numbers are what they were.",
    "import": "Measure lists that another tool has written, in the same table.",
    "export": "Write lists and splits for other tools, with original ids.",
    "fuse": "Make a row of the lists of several rows.",
    "score": "Print the metrics of a row, also under the conventions of other tools.",
    "references": "List figures of others, by data set and protocol.",
    "results": "List stored results, and remove what is no longer wanted.",
    "track": "Tell trackers, such as csv or mlflow, of stored results.",
    "models": "List models, or show what one can be configured with.",
    "datasets": "List, describe and prepare data sets.",
    "plugin": "List plugins, begin a new one, and check what it promises.",
    "doctor": "What is installed, what is broken, what this machine can run.",
}


class _Lazy(click.Group):
    """A group whose commands are modules of this package; ``bench --help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        found: click.Command = importlib.import_module(f"bench.cli.{module}").command
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from bench.errors import UnknownName

            raise UnknownName("command", args[0], COMMANDS, "'bench --help'")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="recsys-bench", prog_name="bench")
def cli(debug: bool) -> None:
    """A benchmark of recommenders: identical splits, all users and the long tail, one honest table.

    Begin with:  bench run --models pop,ease --dataset ml-100k
    """
