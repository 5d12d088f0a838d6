"""``bench report``."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import many_results_option, raw_dir_option, stored_dataset_option
from bench.errors import ConfigError
from bench.files import write_text


@click.command("report")
@many_results_option
@stored_dataset_option
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File.  [report.html; LaTeX and Markdown are printed]",
)
@click.option("--latex", "as_latex", is_flag=True, help="Instead: the tables as LaTeX (booktabs).")
@click.option("--markdown", "as_markdown", is_flag=True, help="Instead: the tables as Markdown.")
@raw_dir_option
def command(
    results: tuple[Path, ...],
    dataset: str | None,
    out: Path | None,
    as_latex: bool,
    as_markdown: bool,
    raw_dir: Path | None,
) -> None:
    """Make one HTML page of all results, and files beside it with every number of the page.

    The page needs no network and no other file. report.json beside it is all that the page holds; report.csv has a
    line for each number. Rows of other folders than the first say where they are from. Data sets whose raw files are at
    hand have lists with titles; nothing is fetched.
    """
    if as_latex or as_markdown:
        if as_latex and as_markdown:
            raise ConfigError("--latex and --markdown were given: choose one")
        text = _printed(results, dataset, as_latex)
        if out is None:
            click.echo(text)
        else:
            write_text(out, text + "\n")
            click.echo(f"written: {out}")
        return
    from bench.cli.progress import counted
    from bench.report.page.build import build
    from bench.report.page.files import write

    page = build(results, dataset, raw_dir)
    paths = write(page, out or Path("report.html"))
    rows = sum(len(table.rows) for table in page.tables)
    sizes = ", ".join(f"{path} ({path.stat().st_size / 2**10:,.0f} KiB)" for path in paths)
    left_out = f"; what was left out is in its notes ({counted(len(page.left_out), 'line')})" if page.left_out else ""
    click.echo(f"{counted(len(page.tables), 'table')}, {counted(rows, 'row')}: {sizes}{left_out}")


def _printed(folders: tuple[Path, ...], dataset: str | None, as_latex: bool) -> str:
    from bench.report.latex import latex
    from bench.report.leaderboard import markdown
    from bench.report.page.build import chosen, read
    from bench.report.table import tables
    from bench.report.verdict import verdict

    store = read(folders)
    text = latex if as_latex else markdown
    return "\n".join(text(table, verdict(table, store)) for table in tables(chosen(store, dataset))).rstrip()
