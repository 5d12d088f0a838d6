"""What MkDocs does not do by itself for this site; see ``mkdocs.yml``.

- Pages link to files of the repository outside ``docs/``, as GitHub shows them. These files become part of the site, at
  ``repository/PATH``, and so do those that they link to.
- A page of ``docs/`` that the navigation does not name comes last, under More: none is lost.
- The page of the commands is their own help, and that of the Python interface has the public names of :mod:`bench`.
"""

from __future__ import annotations

import inspect
import posixpath
import re
from html import escape
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = "repository/"
LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)\s#])")
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):(?=<code>)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what pages link to, and complete the navigation."""
    named = list(_pages(config.nav))
    _more = [page.src_uri for page in files.documentation_pages() if page.src_uri not in named]
    if _more:
        config.nav = [*(config.nav or []), {"More": sorted(_more)}]
    wanted = [uri for uri in named if uri.startswith(OUTSIDE)]
    wanted += [uri for page in files.documentation_pages() for uri in _links(page)]
    while wanted:
        uri = wanted.pop()
        if files.get_file_from_path(uri) is None and (file := _file(uri, config)):
            files.append(file)
            wanted += _links(file) if file.is_documentation_page() else []
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at where the files are in the site; fill in the public names."""
    here = page.file.src_uri
    for name, make in {"PUBLIC_NAMES": _public_names, "COMMANDS": _commands}.items():
        if here.startswith("reference/") and f"\n{name}\n" in markdown:
            markdown = markdown.replace(name, make())

    def moved(link: re.Match[str]) -> str:
        uri = _uri(here, link[1])
        return posixpath.relpath(uri, posixpath.dirname(here) or ".") if uri else link[1]

    return LINK.sub(moved, markdown).replace("```python varies\n", "```python\n")


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Docstrings name classes as Sphinx does; here the name is enough."""
    return ROLE.sub("", html).replace("<code>~", "<code>") if page.file.src_uri.startswith("reference/") else html


def _pages(nav: Any) -> list[str]:
    """The pages that a navigation names, at any depth."""
    if isinstance(nav, str):
        return [nav]
    below = nav.values() if isinstance(nav, dict) else nav or []
    return [page for part in below for page in _pages(part)]


def _links(page: File) -> list[str]:
    return [uri for link in LINK.findall(page.content_string) if (uri := _uri(page.src_uri, link))]


def _uri(page: str, link: str) -> str | None:
    """Where the site has the file that ``page`` links to; None if the repository does not have it."""
    home = page.removeprefix(OUTSIDE) if page.startswith(OUTSIDE) else f"docs/{page}"
    path = (ROOT / home).parent.joinpath(link).resolve()
    if not path.exists() or not path.is_relative_to(ROOT):
        return None
    if path in (ROOT, ROOT / "README.md", ROOT / "docs"):
        return "index.md"
    if path.is_dir():
        path /= "README.md"
    at = path.relative_to(ROOT).as_posix()
    return at.removeprefix("docs/") if at.startswith("docs/") else OUTSIDE + at


def _file(uri: str, config: MkDocsConfig) -> File | None:
    path = ROOT / uri.removeprefix(OUTSIDE)
    if path.is_file():
        return File.generated(config, uri, abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV)
    if not uri.startswith(OUTSIDE) or not path.parent.is_dir():
        return None
    names = "".join(f"- [{one.name}]({one.name})\n" for one in sorted(path.parent.iterdir()) if one.is_file())
    content = f"# {path.parent.relative_to(ROOT)}\n\n{names}"
    return File.generated(config, uri, content=content, inclusion=InclusionLevel.NOT_IN_NAV)


def _commands() -> str:
    from bench.cli.commands import cli

    return _command(cli, click.Context(cli, info_name="bench", **cli.context_settings), 2)


def _command(command: click.Command, context: click.Context, level: int) -> str:
    """Help of a command and of those below it."""
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [f"{'#' * level} {context.command_path}", _prose(command.help or ""), f"`{context.command_path} {usage}`"]
    records = [record for one in command.get_params(context) if (record := one.get_help_record(context))]
    rows = [f"| <code>{_cell(names)}</code> | {_cell(text)} |" for names, text in records if "--help" not in names]
    if rows:
        parts.append("\n".join(["| option | |", "|---|---|", *rows]))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner
            parts.append(_command(inner, click.Context(inner, context, name), min(level + 1, 4)))
    return "\n\n".join(parts)


def _prose(text: str) -> str:
    """Paragraphs of a help; those that click or an indent leaves as they are become code."""

    def paragraph(part: str) -> str:
        if part.startswith(("\b\n", "    ")):
            return "```text\n" + inspect.cleandoc(part.removeprefix("\b\n")) + "\n```"
        return _cell(part)

    return "\n\n".join(map(paragraph, inspect.cleandoc(text).split("\n\n")))


def _cell(text: str) -> str:
    return " ".join(escape(text, quote=False).replace("|", "&#124;").replace("*", "\\*").replace("[", "\\[").split())


def _public_names() -> str:
    import bench

    return "\n\n".join(f"::: {home}.{name}" for home, names in bench._HOMES.items() for name in names)
