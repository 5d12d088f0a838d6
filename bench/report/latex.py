"""A table for a paper: LaTeX with booktabs."""

from __future__ import annotations

import math
import re

from bench.errors import plain
from bench.report.leaderboard import number, reading
from bench.report.page.rows import half_widths
from bench.report.table import Row, Table
from bench.report.verdict import Verdict

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}", '"': r"{\ttfamily\char34}",
    "[": "{[}", "*": "{*}",  # after the end of a row they would belong to it
    "±": r"$\pm$", "−": "$-$", "≤": r"$\leq$", "×": r"$\times$", "†": r"$\dagger$", "–": "--",
}  # fmt: skip
_APART = "\0"
"""No plain text has it."""
SECOND_GROUP = "long tail"


def escaped(text: str) -> str:
    """``text`` as LaTeX that prints it. Signs of other scripts stay, for LuaLaTeX or XeLaTeX."""
    apart = re.sub(r"([-,])(?=\1)", r"\1" + _APART, plain(text))  # two of them would be printed as another sign
    return "".join(_ESCAPES.get(sign, sign) for sign in apart).replace(_APART, "{}")


def latex(table: Table, verdict: Verdict) -> str:
    """The finished rows with the main metrics of all users and the first one of the long tail.

    In each column the best is bold and the second underlined; † marks rows that are level with the best by the first
    metric, as the verdict has it.
    """
    rows = [row for row in table.rows if not row.failed]
    columns = [("all", metric) for metric in table.main_metrics if any(row.has("all", metric) for row in rows)]
    if SECOND_GROUP in table.groups:
        columns += [(SECOND_GROUP, metric) for _, metric in columns[:1]]
    lines = [[escaped(row.title)] for row in rows]
    for group, metric in columns:
        places = _places(rows, group, metric)
        standings = verdict.standings if metric == table.main_metrics[0] else {}
        for line, row in zip(lines, rows, strict=True):
            standing = standings.get((row.name, group))
            half = standing.half_width if standing else half_widths(row, group, [metric])[0]
            mark = r"$^{\dagger}$" if standing and verdict.level(row.name, group) else ""
            line.append(_cell(row.mean(group, metric), half, places.get(row.name), mark))
    heads = ["model", *(metric if group == "all" else f"{metric} {group}" for group, metric in columns)]
    return "\n".join([
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_caption(table, verdict)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(map(escaped, heads)) + r" \\",
        r"\midrule",
        *(" & ".join(line) + r" \\" for line in lines),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ])  # fmt: skip


def _places(rows: list[Row], group: str, metric: str) -> dict[str, int]:
    """Place of each row in a column, from 0; values that are printed alike have one place."""
    printed = {row.name: number(row.mean(group, metric)) for row in rows if row.has(group, metric)}
    order = sorted(set(printed.values()), key=float, reverse=True)
    return {name: order.index(value) for name, value in printed.items()}


def _cell(mean: float, half: float, place: int | None, mark: str) -> str:
    text = "--" if math.isnan(mean) else number(mean)
    shown = rf"\textbf{{{text}}}" if place == 0 else rf"\underline{{{text}}}" if place == 1 else text
    return f"{shown}{mark}" + ("" if math.isnan(half) else rf" {{\scriptsize$\pm${number(half)}}}")


def _caption(table: Table, verdict: Verdict) -> str:
    protocol = table.cell.protocol
    sizes = [f"n = {n:,} users" for name, (_, n) in table.groups.items() if name == "all"]
    sizes += [f"{name}: {rule}, n = {n:,}" for name, (rule, n) in table.groups.items() if name == SECOND_GROUP]
    level = f" † is level with the best by {table.main_metrics[0]}." if verdict.compares else ""
    return escaped(
        f"{table.dataset}, protocol {protocol.name}: {protocol.describe()} (fingerprint {table.cell.fingerprint[:8]}); "
        f"{'; '.join(sizes)}. {reading(table, verdict).split(' rank:')[0]} Best bold, second underlined.{level}"
    )
