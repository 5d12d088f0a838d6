"""Tables for a paper: LaTeX with booktabs, of one data set or over several."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from bench.errors import plain
from bench.report.across import Across
from bench.report.numbers import number
from bench.report.row import Row
from bench.report.table import Table
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
GROUPS = ("all", "long tail")
_METRICS = 2
"""Main metrics of each group: two groups of two fit the width of a page."""
_LEVEL = "underlined: level with the best by {} (Holm correction over all pairs of rows, 5 %)."


def escaped(text: str) -> str:
    """``text`` as LaTeX that prints it. Signs of other scripts stay, for LuaLaTeX or XeLaTeX."""
    apart = re.sub(r"([-,])(?=\1)", r"\1" + _APART, plain(text))  # two of them would be printed as another sign
    return "".join(_ESCAPES.get(sign, sign) for sign in apart).replace(_APART, "{}")


def latex(table: Table, verdict: Verdict) -> str:
    """The finished rows with the first two main metrics of all users and of the long tail.

    In each column the best is bold; of the first metric, rows that are level with the best are underlined.
    """
    rows = [row for row in table.rows if not row.failed]
    metrics = table.main_metrics[:_METRICS]
    columns = {
        group: found
        for group in GROUPS
        if (found := [metric for metric in metrics if any(row.has(group, metric) for row in rows)])
    }
    lines = [[escaped(row.title)] for row in rows]
    for group, metric in ((group, metric) for group, found in columns.items() for metric in found):
        best = _best(rows, group, metric)
        first = metric == metrics[0]
        for line, row in zip(lines, rows, strict=True):
            standing = verdict.standings.get((row.name, group)) if first else None
            half = standing.half_width if standing else row.half_widths(group, [metric])[0]
            text = _cell(row.mean(group, metric), best, first and verdict.level(row.name, group))
            line.append(text + ("" if math.isnan(half) else rf" {{\scriptsize$\pm${number(half)}}}"))
    over, rules, at = [""], [], 2
    for group, found in columns.items():
        name = "all users" if group == "all" else group
        over.append(rf"\multicolumn{{{len(found)}}}{{c}}{{{escaped(name)} ({table.groups[group][1]:,})}}")
        rules.append(rf"\cmidrule(lr){{{at}-{at + len(found) - 1}}}")
        at += len(found)
    heads = [" & ".join(over) + r" \\", " ".join(rules)]
    heads.append(_line(["model", *(_printed(metric) for found in columns.values() for metric in found)]))
    return _page(_caption(table, verdict, rows), table.name, heads, lines)


def latex_across(found: Across) -> str:
    """Mean ranks, and the first main metric of all users in each table; best bold, level with the best underlined."""
    rows = [{row.name: row for row in table.rows} for table in found.tables]
    metrics = [table.main_metrics[0] for table in found.tables]
    best = [_best(table.rows, "all", metric) for table, metric in zip(found.tables, metrics, strict=True)]
    lines = []
    for i, name in enumerate(found.rows):
        line = [escaped(name), f"{found.mean[i]:.2f} {{\\scriptsize {found.low[i]:.2f}--{found.high[i]:.2f}}}"]
        for own, metric, most, standings in zip(rows, metrics, best, found.standings, strict=True):
            line.append(_cell(own[name].mean("all", metric), most, standings[i].first == 1))
        lines.append(line)
    legend = "; ".join(
        f"{name}: {table.cell.protocol.describe()}, n = {table.groups['all'][1]:,} users ({table.cell.fingerprint[:8]})"
        for name, table in zip(found.names, found.tables, strict=True)
    )
    shown = " and ".join(map(_printed, dict.fromkeys(metrics)))
    caption = (
        f"{shown} of all users, and the mean rank over {len(found.datasets)} data sets with its 95 % interval. "
        f"{legend}. {_seeds([row for table in found.tables for row in table.rows])} "
        f"Best bold; {_LEVEL.format('it')}"
    )
    datasets = [table.dataset for table in found.tables]
    apart = [name.removeprefix(plain(own)).strip() for name, own in zip(found.names, datasets, strict=True)]
    return _page(caption, "across", [_line(["", "mean", *datasets]), _line(["model", "rank", *apart])], lines)


def _page(caption: str, name: str, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """The whole environment; cells of ``lines`` are LaTeX already, ``caption`` is plain text."""
    columns = len(lines[0]) - 1 if lines else 0
    return "\n".join([
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(caption)}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9.+-]+', '-', name)}}}",
        r"\small\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{@{{}}l{'r' * columns}@{{}}}}",
        r"\toprule",
        *heads,
        r"\midrule",
        *(" & ".join(line) + r" \\" for line in lines),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ])  # fmt: skip


def _line(texts: Sequence[str]) -> str:
    return " & ".join(map(escaped, texts)) + r" \\"


def _printed(metric: str) -> str:
    """As papers write it: NDCG@10, Recall@10."""
    name, _, cut = metric.partition("@")
    return f"{name.upper() if name in ('ndcg', 'mrr', 'map') else name.capitalize()}@{cut}"


def _best(rows: Sequence[Row], group: str, metric: str) -> str:
    """The largest mean as it is printed: values that are printed alike are alike."""
    means = [row.mean(group, metric) for row in rows if row.has(group, metric)]
    return number(max(means)) if means else ""


def _cell(mean: float, best: str, level: bool) -> str:
    text = "--" if math.isnan(mean) else number(mean)
    return rf"\textbf{{{text}}}" if text == best else rf"\underline{{{text}}}" if level else text


def _caption(table: Table, verdict: Verdict, rows: Sequence[Row]) -> str:
    protocol = table.cell.protocol
    sizes = [f"n = {n:,} users" for name, (_, n) in table.groups.items() if name == GROUPS[0]]
    sizes += [f"{name}: {rule}, n = {n:,}" for name, (rule, n) in table.groups.items() if name in GROUPS[1:]]
    over = "users and seeds" if verdict.standings else "users"
    alone = ", of users alone where a row has one of many seeds" if any(row.one_of_many_seeds for row in rows) else ""
    level = f"; {_LEVEL.format(_printed(table.main_metrics[0]))}" if verdict.compares else "."
    return (
        f"{table.dataset}, protocol {protocol.name}: {protocol.describe()} (fingerprint {table.cell.fingerprint[:8]}); "
        f"{'; '.join(sizes)}. {_seeds(rows)} ± is half of a 95 % interval over {over}{alone}. Best bold{level}"
    )


def _seeds(rows: Sequence[Row]) -> str:
    """How many seeds the rows have."""
    counts = sorted({row.seeds for row in rows if not row.first.cell.deterministic})
    if not counts:
        return "No row depends on a seed."
    text = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    fixed = any(row.first.cell.deterministic for row in rows)
    return f"Seeds of each row: {text}{' (one where nothing depends on it)' if fixed else ''}."
