"""The walk-through: what it prints is what the model computed, and the pages in docs/ are what it prints."""

import importlib.util
import math
import os
import re
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from bench_colarec.config import PRESETS, ColaRecConfig
from click.testing import CliRunner

from bench.testing import block_interactions

HERE = Path(__file__).resolve().parents[1]
DOCS = {"en": "colarec-walkthrough.md", "zh": "colarec-walkthrough.zh.md"}
COLOURS = ("red", "green", "blue", "grey")
TINY = {"gid_width": 4, "beams": 6, "width": 16, "heads": 2, "feed_forward": 16, "vectors_width": 8, "batch": 16}


def load_script():
    spec = importlib.util.spec_from_file_location("colarec_walkthrough", HERE / "walkthrough.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


walkthrough = load_script()


def synthetic():
    """Block data, of whose two validation items the second is for test."""
    train, valid = block_interactions(n_users=60, n_items=48)
    first = np.arange(len(valid)) % 2 == 0
    titles = [f"thing | number {item} of {COLOURS[item % 4]} kind" for item in range(48)]
    texts = pd.DataFrame({"id": titles, "title": titles, "text": [f"title {title} & more" for title in titles]})
    return walkthrough.Data("Blocks", "a rule", train, valid.where(first), valid.where(~first), texts, 7)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    run = walkthrough.train(synthetic(), tmp_path_factory.mktemp("work"), **TINY)
    values = walkthrough.collect(run)
    pages = {language: walkthrough.render(values, language) for language in DOCS}
    return SimpleNamespace(run=run, values=values, pages=pages)


def cells(rows):
    """The cells of the rows of a Markdown table."""
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows.splitlines()]


def path(prefix):
    return [] if prefix == "–" else [int(code) for code in prefix.split("·")]


def numbers(text):
    return Counter(re.findall(r"\d+(?:[.,]\d+)*(?:e-?\d+)?", text))


def test_losses_are_what_their_formulas_say(made):
    found = made.values["loss"]
    rec, index = cells(made.values["rec_rows"]), cells(made.values["index_rows"])
    for *_, z, norm, chance, minus, _ in rec + index:
        assert math.log(float(chance)) == pytest.approx(float(z) - float(norm), abs=1e-3)
        assert float(minus) == pytest.approx(float(norm) - float(z), abs=2e-4)
    assert float(found["rec"]) == pytest.approx(-sum(math.log(float(row[6])) for row in rec), abs=2e-3)
    assert float(found["index"]) == pytest.approx(-sum(math.log(float(row[6])) for row in index) / 2, abs=2e-3)
    dot, margin = made.values["dot"], made.values["margin"]
    assert float(margin["bpr"]) == pytest.approx(float(dot["ui"] - dot["un"]), abs=1e-5)
    assert float(margin["contrastive"]) == pytest.approx(float(dot["ir"] - dot["in"]), abs=1e-5)
    for name in ("bpr", "contrastive"):
        assert float(found[name]) == pytest.approx(math.log1p(math.exp(-float(margin[name]))), rel=5e-3)
    weights = [made.run.config.rec_weight, made.run.config.index_weight, made.run.config.bpr_weight]
    *columns, total = cells(made.values["loss_rows"])
    for column, of in enumerate([weights] * 4 + [[0.08, 0.08, 1.0]], 1):
        expected = sum(w * float(row[column]) for w, row in zip([*of, 0.1], columns, strict=True))
        assert float(total[column]) == pytest.approx(expected, abs=1e-3)


def test_logits_are_those_of_a_plain_t5(made, tiny):
    run, tree = made.run, made.run.parts.tree
    slots, places = tiny.user_slots(run.parts, made.run.sample.history.tolist(), 96)
    with torch.inference_mode():
        states = tiny.states_of(run.step.network, slots, places)
        gid = tree.codes[run.sample.targets[0]].tolist()
        expected = tiny.plain_log_probs(run.step.network, run.parts, run.config, states, gid)
    assert [-float(row[7]) for row in cells(made.values["rec_rows"])] == pytest.approx(expected, abs=2e-4)


def test_slots_are_the_inputs_and_tokens_are_the_texts(made, tiny):
    run, table = made.run, made.run.parts.tokens
    printed = cells(made.values["user_rows"])
    expected, _ = tiny.user_slots(run.parts, run.sample.history.tolist(), 96)
    assert [int(slot) for row in printed for slot in row[2].split()] == expected
    assert [row[1] for row in printed] == ["task u", *(f"item {i}" for i in run.sample.history), "EOS"]
    begins = np.cumsum([0, *(len(row[2].split()) for row in printed)])
    assert [row[0].split("–")[0] for row in printed] == [str(begin) for begin in begins[:-1]]
    shown = cells(made.values["item_rows"])
    users = [int(row[1].split()[1]) for row in shown if row[1].startswith("user")]
    assert [int(slot) for row in shown for slot in row[2].split()] == tiny.item_slots(
        run.parts, made.values["target"], users
    )[0]
    assert users
    assert all(made.values["target"] in run.data.train.select(np.array([user])).items for user in users)
    assert not set(users) & set(run.sample.users.tolist())
    for row in printed[1:-1] + shown[1:2]:
        item = int(row[1].split()[1])
        pieces = "".join(row[3].replace("\\|", "|").split("·"))
        assert "".join(run.data.texts["text"][item].lower().split()).startswith(pieces)
        assert len(row[2].split()) == 1 + table.lengths[item]


def test_beams_are_sorted_exist_and_are_the_best_by_brute_force(made):
    run, tree = made.run, made.run.parts.tree
    history = run.data.own("train")
    recommender = walkthrough.Recommender(
        run.config.model_copy(update={"score": "generate"}), run.step.network, run.parts
    )
    with torch.inference_mode():
        scores = torch.from_numpy(recommender.scores(history)[0])  # every item, without a search
    codes = [tuple(code) for code in tree.codes.tolist()]
    above = [()]
    for level, rows in enumerate(map(cells, made.values["level"]), 1):
        prefixes = {code[:level] for code in codes}
        log_p = {p: float(scores[[code[:level] == p for code in codes]].logsumexp(0)) for p in prefixes}
        reachable = [p for p in prefixes if p[:-1] in above]
        best = sorted(reachable, key=lambda p: -log_p[p])[: run.config.beams]
        assert made.values["way"][level - 1]["reachable"] == len(reachable)
        assert [tuple(path(row[1])) for row in rows] == best
        assert [float(row[2]) for row in rows] == pytest.approx([log_p[p] for p in best], abs=2e-4)
        assert [float(row[2]) for row in rows] == sorted((float(row[2]) for row in rows), reverse=True)
        for row in rows[: len(rows) * (level < tree.length)]:
            assert int(row[4]) == sum(code[:level] == tuple(path(row[1])) for code in codes)
        mine = codes[made.values["test"]][:level]
        told = made.values["way"][level - 1]
        assert told["place"] == 1 + sum(value > log_p[mine] + 1e-6 for value in log_p.values())
        assert told["survived"] == (mine in best)
        above = best


def test_every_printed_prefix_exists(made):
    codes = made.run.parts.tree.codes.tolist()
    for rows, column in (("gid_rows", 3), ("path_rows", 0), ("family_rows", 0), ("near_rows", 2), ("list_rows", 1)):
        for row in cells(made.values[rows]):
            assert any(code[: len(path(row[column]))] == path(row[column]) for code in codes), row


def test_list_is_the_recommendation_and_the_verdict_is_true(made):
    run, test = made.run, made.values["test"]
    known = run.data.own("train")
    rows = cells(made.values["list_rows"])
    listed = [row for row in rows if row[0] != "–"]
    codes = run.parts.tree.codes.tolist()
    items = [codes.index(path(row[1])) for row in listed]
    expected = walkthrough.Recommender(run.config, run.step.network, run.parts).recommend(known, known, 10)
    assert items == [item for item in expected.items[0] if item >= 0]
    assert [row[0] for row in listed] == [str(place) for place in range(1, len(listed) + 1)]
    assert {codes.index(path(row[1])) for row in rows if row[0] == "–"} <= set(known.items.tolist())
    assert (made.values["verdict"][0] == "listed") == (test in items)
    assert made.values["own"]["recall@10"] == (test in items)
    if made.values["verdict"][0] == "dropped":
        assert not made.values["way"][made.values["verdict"][1]["level"] - 1]["survived"]


@pytest.mark.parametrize("kind", ["listed", "late", "dropped"])
def test_both_languages_render_with_the_same_numbers(made, kind):
    fact = {"place": 4, "level": 2, "prefix": "9·8", "kept": 20}
    pages = {language: walkthrough.render({**made.values, "verdict": (kind, fact)}, language) for language in DOCS}
    for page in pages.values():
        assert not re.search(r"[{}]|\bNone\b|\bnan\b|tensor|array\(|Size\(", page)
    en, zh = (re.sub(r"\[(?:English|中文|Wang).*?\)", "", page) for page in pages.values())
    assert set(numbers(en)) == set(numbers(zh))
    blocks = [re.findall(r"^(?:\||    |>).*$", page, re.MULTILINE) for page in (en, zh)]
    assert [numbers(line) for line in blocks[0]] == [numbers(line) for line in blocks[1]]


def test_what_the_prose_says_of_the_presets_is_true():
    quick, paper = (ColaRecConfig(**PRESETS[name]) for name in ("quick", "paper"))
    assert (quick.score, quick.codebook, quick.start, quick.samples, quick.gid_width) == (
        "both", "prefix", "vectors", "user", None,
    )  # fmt: skip
    assert (quick.negatives, quick.match_loss, quick.decoding) == ("batch", "softmax", "exact")
    assert quick.tied
    assert quick.held_out > 0
    assert (paper.codebook, paper.start, paper.samples, paper.gid_width, paper.beams) == (
        "position", "random", "interaction", 32, 100,
    )  # fmt: skip
    assert (paper.rec_weight, paper.index_weight, paper.bpr_weight, paper.contrastive_weight) == (0.08, 0.08, 1, 0.1)
    assert (paper.backbone, paper.input_lengths.item_tokens, paper.input_lengths.users) == ("t5-small", 30, 1)


def test_a_mistake_of_the_user_is_one_line(tmp_path):
    found = CliRunner().invoke(walkthrough.main, ["--raw-dir", str(tmp_path), "--dataset", "beautyy"])
    assert found.exit_code == 1
    assert found.output.startswith("Error: unknown data")
    assert "did you mean 'beauty'?" in found.output


def lines_between(page, begin, end):
    """Lines from the heading that begins with ``begin`` to the line that begins with ``end``."""
    lines = page.splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith(begin))
    return lines[first : next(at for at, line in enumerate(lines) if at > first and line.startswith(end))]


def outline(page):
    """Headings, heads of tables, and prose without numbers, which are what no rounding can change."""
    lines = page.splitlines()
    heads = [lines[at - 1] for at, line in enumerate(lines) if line.startswith(("|:", "|--"))]
    return [line for line in lines if line.startswith("#")], heads


def levels(page):
    """The table of the sizes of the tree's levels."""
    return [
        row for row in cells("\n".join(re.findall(r"^\| [0-3] \|.*\| \d+ \|$", page, re.MULTILINE))) if len(row) == 6
    ]


def losses_of(page, label):
    """Means over the batch, before and after the training."""
    [row] = [row for row in page.splitlines() if row.startswith(f"| {label} |")]
    return [float(cell) for cell in cells(row)[0][3:5]]


@pytest.mark.raw
@pytest.mark.slow
@pytest.mark.skipif("BENCH_RAW_DIR" not in os.environ, reason="needs the real raw files")
def test_the_pages_in_docs_are_what_the_script_writes(tmp_path):
    out = tmp_path / "docs"
    arguments = ["--raw-dir", os.environ["BENCH_RAW_DIR"], "--out", str(out)]
    assert CliRunner().invoke(walkthrough.main, arguments, catch_exceptions=False).exit_code == 0
    for name in DOCS.values():
        now, kept = ((folder / name).read_text(encoding="utf-8") for folder in (out, HERE.parents[1] / "docs"))
        assert outline(now) == outline(kept)
        # The user, the split, the tokens and the user input do not depend on any sum of floats.
        assert lines_between(now, "## 1", "## 2") == lines_between(kept, "## 1", "## 2")
        assert lines_between(now, "## 3", "**X_i") == lines_between(kept, "## 3", "**X_i")
        assert re.findall(r"`tree.codes`.*|.*`tree.codes`", now) == re.findall(r"`tree.codes`.*|.*`tree.codes`", kept)
        # All else may: noise of 1e-5 in the vectors is enough for other clusters at the second level.
        sizes, expected = ([row[:2] + row[5:] for row in levels(page) if row[0] != "2"] for page in (now, kept))
        assert len(sizes) == 3
        assert sizes == expected
        for label, near in {"L_rec": 0.5, "L_index": 0.5, "L_bpr": 0.05, "L_c": 0.05}.items():
            means, expected = (losses_of(page, label) for page in (now, kept))
            np.testing.assert_allclose(means, expected, rtol=0, atol=near)
        recalls = [float(re.findall(r"recall@10 = ([\d.]+)", page)[1]) for page in (now, kept)]
        assert recalls[0] == pytest.approx(recalls[1], abs=0.02)
