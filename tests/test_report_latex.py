"""LaTeX of a table: what is bold and underlined, and that every text stays a text."""

import re
import shutil
import subprocess

import pytest

from bench.report.latex import escaped, latex
from bench.report.table import tables
from bench.report.verdict import Standing, Verdict

PRINTED = {
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
    r"\textgreater{}": ">", r"\textbar{}": "|", r"{\ttfamily\char34}": '"', r"\textquotesingle{}": "'",
    r"\textasciigrave{}": "`", "{[}": "[", "{*}": "*", "-{}-": "--", r"\{": "{", r"\}": "}", r"\$": "$", r"\&": "&",
    r"\#": "#", r"\%": "%", r"\_": "_", r"$\pm$": "±", "$-$": "−", r"$\leq$": "≤", r"$\times$": "×", r"$\dagger$": "†",
}  # fmt: skip
ASCII = [
    r"\input{/etc/passwd}", "50 % & more_of #1 $x^2$ ~ {a}", '<script>"|"</script>', "=cmd()", "\\", "[3cm]", "*",
    "``it's'' ?` -- 1",
]  # fmt: skip


def printed(text):
    """What LaTeX prints: each command is replaced, in one pass, and nothing that means something is left."""
    pattern = "|".join(re.escape(command) for command in PRINTED)
    rest = re.sub(pattern, "", text)
    assert not re.search(r"[\\{}$&#%_~^]", rest), rest
    return re.sub(pattern, lambda found: PRINTED[found[0]], text)


@pytest.mark.parametrize("text", [*ASCII, "שלום 🙂", "a − b ± c ≤ d × e †"])
def test_escaped_text_is_printed_as_it_is(text):
    assert printed(escaped(text)) == text


def only(results):
    [table] = tables(results)
    return table


def rows_of(text):
    body = text.partition("\\midrule\n")[2].partition("\\bottomrule")[0]
    return [line.removesuffix(r" \\").split(" & ") for line in body.splitlines()]


def test_best_is_bold_and_second_underlined_in_each_column(make_result):
    scores = {"a": (0.3, 0.1), "b": (0.2, 0.31), "c": (0.1, 0.3100001)}
    results = []
    for name, values in scores.items():
        metrics = dict(zip(("ndcg@10", "recall@10"), values, strict=True))
        result = make_result(name)
        known = result.groups["all"].model_copy(update={"metrics": metrics, "errors": dict.fromkeys(metrics, 0.01)})
        results.append(result.model_copy(update={"groups": {"all": known}}))
    lines = rows_of(latex(only([*results, make_result("d", status="failed")]), Verdict()))
    assert [line[0] for line in lines] == ["a", "b", "c"]
    half = r" {\scriptsize$\pm$.0196}"
    assert [line[1] for line in lines] == [rf"\textbf{{.3000}}{half}", rf"\underline{{.2000}}{half}", f".1000{half}"]
    # printed alike, both are best
    assert [line[2] for line in lines] == [rf"\underline{{.1000}}{half}", *[rf"\textbf{{.3100}}{half}"] * 2]


def test_caption_tells_protocol_sizes_and_marks(make_result):
    text = latex(only([make_result("a_b", 0.3), make_result("c", 0.2)]), Verdict())
    [caption] = [line for line in text.splitlines() if line.startswith(r"\caption{")]
    for part in ("tiny, protocol random: per-user random 8:1:1", "n = 4 users", "Best bold, second underlined."):
        assert part in caption
    assert "dagger" not in text  # nothing is known of ranks
    assert r"a\_b & " in text


def test_level_rows_bear_a_mark(make_result):
    table = only([make_result("a", 0.3), make_result("b", 0.2), make_result("c", 0.1)])
    standings = {(name, "all"): Standing(0.05, 1, 2) for name in "ab"} | {("c", "all"): Standing(0.02, 3, 3)}
    lines = rows_of(latex(table, Verdict(standings)))
    assert [r"$^{\dagger}$" in line[1] for line in lines] == [True, True, False]
    assert not any("dagger" in cell for line in lines for cell in line[2:])
    assert [line[1].split("$\\pm$")[1] for line in lines] == [".0500}", ".0500}", ".0200}"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_table_is_set_by_latex(make_result, tmp_path):
    table = only([make_result("a", 0.9), *(make_result(name, 0.1 * i) for i, name in enumerate(ASCII))])
    lines = [
        r"\documentclass{article}\usepackage{booktabs}\begin{document}",
        latex(table, Verdict()),
        r"\end{document}",
    ]
    (tmp_path / "table.tex").write_text("\n".join(lines))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size
