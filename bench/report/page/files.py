"""The page and the files beside it."""

from __future__ import annotations

from pathlib import Path

from bench.errors import ConfigError
from bench.files import write_json, write_text
from bench.report.page.document import Page
from bench.report.page.html import as_json, html
from bench.report.page.numbers import as_csv


def write(page: Page, out: Path) -> list[Path]:
    """Write the page to ``out``, and beside it ``.json`` and ``.csv`` with every number of it; returns the paths.

    Raises
    ------
    ConfigError
        If ``out`` has the ending of one of the others.
    """
    document, csv = out.with_suffix(".json"), out.with_suffix(".csv")
    if out in (document, csv):
        raise ConfigError(f"--out {out} is the page: give it the ending .html")
    write_text(out, html(page))
    write_json(document, as_json(page))
    write_text(csv, as_csv(page))
    return [out, document, csv]
