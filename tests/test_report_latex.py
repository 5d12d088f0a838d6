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


def measured(result, groups):
    """The result with these metrics by group: ``{group: {metric: value}}``, each with a standard error of .01."""
    known = result.groups["all"]
    own = {
        name: known.model_copy(update={"metrics": metrics, "errors": dict.fromkeys(metrics, 0.01), "rule": name})
        for name, metrics in groups.items()
    }
    return result.model_copy(update={"groups": own})


def test_best_is_bold_in_each_column(make_result):
    scores = {"a": (0.3, 0.1), "b": (0.2, 0.31), "c": (0.1, 0.3100001)}
    metrics = ("ndcg@10", "recall@10")
    results = [
        measured(make_result(name), {"all": dict(zip(metrics, values, strict=True))}) for name, values in scores.items()
    ]
    lines = rows_of(latex(only([*results, make_result("d", status="failed")]), Verdict()))
    assert [line[0] for line in lines] == ["a", "b", "c"]
    half = r" {\scriptsize$\pm$.0196}"
    assert [line[1] for line in lines] == [rf"\textbf{{.3000}}{half}", f".2000{half}", f".1000{half}"]
    # printed alike, both are best
    assert [line[2] for line in lines] == [f".1000{half}", *[rf"\textbf{{.3100}}{half}"] * 2]


def test_two_groups_have_two_metrics_each_below_their_names(make_result):
    scores = {f"{name}@10": 0.1 for name in ("ndcg", "recall", "mrr", "hit")}
    text = latex(only([measured(make_result("a"), {"all": scores, "long tail": scores, "head": scores})]), Verdict())
    assert r" & \multicolumn{2}{c}{all users (40)} & \multicolumn{2}{c}{long tail (40)} \\" in text
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5}" in text
    assert r"model & NDCG@10 & Recall@10 & NDCG@10 & Recall@10 \\" in text
    assert r"\begin{tabular}{@{}lrrrr@{}}" in text


def test_caption_tells_protocol_sizes_seeds_and_marks(make_result):
    results = [make_result("a_b", 0.3, seed=1), make_result("a_b", 0.3, seed=2), make_result("c", deterministic=True)]
    text = latex(only(results), Verdict())
    [caption] = [line for line in text.splitlines() if line.startswith(r"\caption{")]
    said = ("tiny, protocol random: per-user random 8:1:1", "n = 40 users", "Seeds of each row: 2 (one where")
    for part in (*said, "Best bold."):
        assert part in caption
    assert "underlined" not in text  # nothing is known of ranks
    assert r"a\_b & " in text
    assert r"\label{tab:tiny-random-ffffffff}" in text


def test_level_rows_are_underlined(make_result):
    table = only([make_result("a", 0.3), make_result("b", 0.2), make_result("c", 0.1)])
    standings = {(name, "all"): Standing(0.05, 1, 2) for name in "ab"} | {("c", "all"): Standing(0.02, 3, 3)}
    text = latex(table, Verdict(standings))
    lines = rows_of(text)
    assert [line[1].partition(" ")[0] for line in lines] == [r"\textbf{.3000}", r"\underline{.2000}", ".1000"]
    assert not any("underline" in cell for line in lines for cell in line[2:])
    assert [line[1].split("$\\pm$")[1] for line in lines] == [".0500}", ".0500}", ".0200}"]
    assert "underlined: level with the best by NDCG@10 (Holm correction" in text


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
