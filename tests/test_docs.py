"""The pages: every command on them is one that the command line takes, and those of the first pages are run.

A block that begins with ``# not run by the tests: WHY`` is only parsed, and so are those of pages that are not in
:data:`RUN`: they need hours, or data that cannot be fetched.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from markdown_it import MarkdownIt

from bench.cli.commands import COMMANDS, cli

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "plugins/*/README.md", "results/published/README.md")
    for path in ROOT.glob(pattern)
)
RUN = (
    "README.md", "docs/index.md", "docs/start.zh.md", "docs/data.md", "docs/protocols.md", "docs/lists.md",
    "docs/coming-from.md", "docs/reading.md", "docs/model.md", "docs/report.md",
)  # fmt: skip
"""One behind the other, in one folder."""
MARK = "# not run by the tests: "
MARKED = 2
"""Blocks with that mark, on all pages."""
SHELL = ("", "bash", "console")


class Block(NamedTuple):
    """Code of a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The lines that call this project, or install a package; of a shell's block."""
        if self.language not in SHELL:
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if re.match(r"\s*(bench|pip|make) ", line)]


def blocks(page: str) -> list[Block]:
    tokens = MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8"))
    return [
        Block(page, token.map[0] + 1, token.info.strip(), token.content)
        for token in tokens
        if token.type in ("fence", "code_block")
    ]


def mentioned(page: str) -> list[str]:
    """Commands within sentences."""
    tokens = MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8"))
    spans = [part.content for token in tokens for part in token.children or () if part.type == "code_inline"]
    return [span for span in spans if re.match(r"bench [a-z]", span)]


def words(line: str) -> list[str]:
    """The words of a command, up to what a shell takes for itself; without those that are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;>&")
    lexer.whitespace_split = True
    found = []
    for word in lexer:
        if set(word) <= set("|;>&"):
            break
        found.append(word)
    return [word for word in found if not re.fullmatch(r"…|\[?--\S*…\S*|\.\.\.", word)]


def problem(line: str, whole: bool = True) -> str | None:
    """Why the command line would refuse this line before it does anything; ``whole``: nothing is left out of it."""
    command: click.Command = cli
    context, rest = click.Context(cli, info_name="bench", **cli.context_settings), words(line)[1:]
    try:
        while True:
            values, rest, given = command.make_parser(context).parse_args(list(rest))
            if not isinstance(command, click.Group) or not rest:
                break
            name = rest[0]
            if (command is cli and name not in COMMANDS) or not (inner := command.get_command(context, name)):
                return f"{line}: there is no command '{name}'"
            command, context, rest = inner, click.Context(inner, context, name), rest[1:]
        if rest:
            return f"{line}: '{rest[0]}' is too much"
        for parameter in given:
            if isinstance(parameter.type, click.Choice) and isinstance(values[parameter.name], str | list | tuple):
                parameter.type_cast_value(context, values[parameter.name])
    except click.BadOptionUsage as error:  # an option at the end of what a sentence mentions
        return f"{line}: {error.format_message()}" if whole else None
    except click.ClickException as error:
        return f"{line}: {error.format_message()}"
    missing = [one.name for one in command.params if one.required and one not in given]
    return f"{line}: {missing[0]} is missing" if whole and missing else None


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_one_that_the_command_line_takes(page):
    lines = [line for block in blocks(page) for line in block.commands]
    found = [problem(line) for line in lines if line.startswith("bench ") and "…" not in line]
    found += [problem(line, whole=False) for line in lines if line.startswith("bench ") and "…" in line]
    found += [problem(line, whole=False) for line in mentioned(page)]
    assert [one for one in found if one] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_target_of_make_is_there(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for block in blocks(page) for line in block.commands if line.startswith("make ")]
    asked = {word for line in lines for word in words(line.partition("#")[0])[1:] if "=" not in word}
    assert asked <= targets


@pytest.mark.parametrize(
    "line",
    [
        "bench rum --models pop", "bench run --modles pop", "bench datasets ad mine", "bench plugin new x --kind tree",
        "bench compare ease", "bench compare a b c --dataset d", "bench compare a b", "bench results prune --dry",
        "bench export split --dataset d --format tsv", "bench run --models",
    ],
)  # fmt: skip
def test_the_check_of_commands_finds_what_is_wrong(line):
    assert problem(line)


@pytest.mark.parametrize(
    "line",
    [
        "bench run --models a,b --dataset d > file.txt", "bench report --latex # a comment", "bench models",
        "bench compare a b --dataset d", "bench fuse a b c --name x --dataset d --rule borda", "bench -h | less",
    ],
)  # fmt: skip
def test_the_check_of_commands_lets_right_ones_through(line):
    assert problem(line) is None


def test_every_plugin_is_in_the_table_of_models():
    table = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    missing = [
        path.parent.name
        for path in ROOT.glob("plugins/*/pyproject.toml")
        if f"plugins/{path.parent.name})" not in table
    ]
    assert missing == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 80


def runnable(page: str) -> list[Block]:
    return [block for block in blocks(page) if block.commands and not block.text.startswith(MARK)]


def test_blocks_that_are_not_run_say_why_and_are_few():
    marked = [block for page in PAGES for block in blocks(page) if MARK in block.text]
    assert all(len(block.text.splitlines()[0]) > len(MARK) + 5 for block in marked)
    assert len(marked) == MARKED, "a block more or less is not run: is it right? Then change MARKED"
    assert all(runnable(page) for page in RUN)


SYNTHETIC = ROOT / "bench" / "data" / "synthetic"
HEAD, *ROWS = (SYNTHETIC / "interactions.csv").read_text().splitlines(keepends=True)
FILES = {
    "ratings.csv": "".join([HEAD, *ROWS]),
    "items.csv": (SYNTHETIC / "items.csv").read_text(),
    "train.csv": "".join([HEAD, *ROWS[:5500]]),
    "valid.csv": "".join([HEAD, *ROWS[5500:6200]]),
    "test.csv": "".join([HEAD, *ROWS[6200:]]),
    "run.yaml": next(block.text for block in blocks("docs/protocols.md") if block.text.startswith("# run.yaml")),
    "theirs.csv": "user,item,score\n" + "".join(f"{u},{i},{1 / i}\n" for u in range(1, 944) for i in range(1, 21)),
    "mine.csv": "user,group\n" + "".join(f"r{user:03},students\n" for user in range(1, 300)),
}
"""What the pages speak of as the reader's own."""

PIP = """
for word; do
    shift
    case $word in .|./plugins/*) word=ROOT/$word ;; install) continue ;; esac
    set -- "$@" "$word"
done
exec PYTHON -m pip install -q --no-deps --no-build-isolation --upgrade --target SITE "$@"
"""
"""From a clone, into a folder of the test."""


@pytest.fixture(scope="module")
def shell(tmp_path_factory, raw_dir):
    """Run a block, in one folder for all pages."""
    home, tools, site = (tmp_path_factory.mktemp(name) for name in ("pages", "tools", "site"))
    for name, text in FILES.items():
        (home / name).write_text(text)
    (home / "results").mkdir()
    (home / "results" / "published").symlink_to(ROOT / "results" / "published")
    pip = PIP.replace("ROOT", str(ROOT)).replace("PYTHON", sys.executable).replace("SITE", str(site))
    for name, text in {"bench": f'exec {sys.executable} -m bench "$@"', "pip": pip}.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    paths = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    own = {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    environment = os.environ | own | {"BENCH_RAW_DIR": str(raw_dir), "BENCH_CACHE_DIR": str(home / "cache")}

    def run(block: Block) -> str:
        lines = "\n".join(line for line in block.commands if not line.startswith("make "))
        done = subprocess.run(["bash", "-euc", lines], cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{block.page}:{block.line}\n{lines}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    return run


@pytest.mark.slow
@pytest.mark.raw
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_the_first_pages_run(page, shell):
    for block in runnable(page):
        shell(block)


@pytest.mark.slow
@pytest.mark.raw
@pytest.mark.parametrize("page", ["docs/index.md", "docs/start.zh.md"])
def test_the_first_table_is_the_one_that_is_printed(page, shell):
    def cells(text: str) -> list[list[str]]:
        return [line.split("|")[1:8] for line in text.splitlines() if re.match(r"\| (ease|itemknn|pop) .*±", line)]

    [printed] = [shell(block) for block in runnable(page)[:2] if "--dataset synthetic" in block.text]
    [shown] = [block for block in blocks(page) if block.language == "text"]
    assert len(cells(shown.text)) == 3
    assert cells(printed) == cells(shown.text)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    subprocess.run(words, cwd=ROOT, check=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"})
    return folder


@pytest.mark.slow
def test_the_site_has_what_pages_link_to_and_what_is_generated(site):
    assert list((site / "repository" / "results" / "published" / "leaderboards").glob("ml-100k-*.html"))
    commands = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    assert all(f'id="bench-{name}"' in commands for name in ("run", "tune", "datasets-add", "results-prune"))
    python = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert all(f">{name}</span>" in python for name in ("Recommender", "run", "Interactions", "UNFILLED"))


@pytest.mark.slow
def test_lists_tables_and_code_are_the_same_here_as_where_pages_are_read_as_commonmark(site):
    for path in sorted(ROOT.glob("docs/*.md")):
        tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
        kinds = [token.type for token in tokens]
        html = (site / path.name).with_suffix(".html").read_text(encoding="utf-8")
        article = html[html.index("<article") : html.index("</article>")]
        assert article.count("<li>") == kinds.count("list_item_open"), path.name
        assert article.count("<tr>") == kinds.count("tr_open"), path.name
        assert article.count("<pre") == kinds.count("fence") + kinds.count("code_block"), path.name
