"""The report on prefixes against a planted example, and its words against sums over all items."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pandas as pd
import pytest
from bench_colarec.items.identifiers import random_codes
from bench_colarec.items.prefixes import as_table, describe

CODES = np.array([[0, 0], [0, 1], [0, 2], [2, 0], [2, 1], [2, 2]], np.int32)
TEXTS = pd.DataFrame(
    {
        "id": list("abcdef"),
        "text": [
            "title Leather case brand Acme categories Cases",
            "title Leather &amp; steel case brand Unknown categories Cases",
            "title Case of wood",
            "title USB cable brand Acme categories Cables",
            "title Long USB cable brand Zeta categories Cables",
            "title ?",
        ],
        "gid": ["1 1", "1 2", "1 3", "2 1", "2 2", "2 3"],
    }
)
POPULARITY = np.array([5, 9, 5, 1, 2, 7])


def test_planted_words_and_titles_are_found():
    first, second = describe(CODES, TEXTS, POPULARITY, top=2)
    assert first["prefix"] == [0]
    assert second["prefix"] == [2]
    assert (first["items"], first["interactions"]) == (3, 19)
    assert (second["items"], second["interactions"]) == (3, 10)
    assert first["titles"] == ["Leather & steel case", "Leather case"]  # ties by item: a before c
    assert second["titles"] == ["?", "Long USB cable"]
    assert first["words"] == ["case", "cases"]
    assert second["words"] == ["cable", "cables"]


def test_it_is_ready_for_json():
    described = describe(CODES, TEXTS, POPULARITY, level=2)
    assert json.loads(json.dumps(described)) == described
    assert [row["prefix"] for row in described] == CODES.tolist()
    assert [row["items"] for row in described] == [1] * 6


def test_words_have_the_highest_z_scores_of_the_log_odds():
    rng = np.random.default_rng(0)
    names = [f"w{number:02}" for number in range(30)]
    rows = [list(rng.choice(names, 6, replace=True)) for _ in range(80)]
    texts = pd.DataFrame({"id": [str(item) for item in range(80)], "text": [" ".join(row) for row in rows]})
    codes = random_codes(80, 3, 5, 1)
    for row in describe(codes, texts, np.zeros(80, int), level=1, top=4):
        inside = [item for item in range(80) if codes[item, 0] == row["prefix"][0]]
        outside = [item for item in range(80) if item not in inside]
        scores = {}
        for name in names:
            a = sum(name in rows[item] for item in inside) + 0.5
            b = sum(name in rows[item] for item in outside) + 0.5
            odds = math.log(a / (len(inside) + 1 - a)) - math.log(b / (len(outside) + 1 - b))
            scores[name] = odds / math.sqrt(1 / a + 1 / b)
        expected = [
            name for name in sorted(names, key=lambda name: (-round(scores[name], 9), name)) if scores[name] > 0
        ]
        assert row["words"] == expected[:4]


def test_titles_come_from_their_column_and_identifiers_are_no_words():
    texts = pd.DataFrame({"id": ["a", "b"], "title": ["A " + "long " * 20, "Short"], "gid": ["17 23", "42 99"]})
    first, second = describe(np.array([[0, 0], [1, 0]]), texts, np.array([1, 0]))
    assert len(first["titles"][0]) <= 60
    assert first["titles"][0].startswith("A long long")
    assert first["words"] == ["long"]
    assert second["words"] == ["short"]


def test_items_without_any_texts_are_described_by_number():
    described = describe(CODES, TEXTS[["id"]], POPULARITY)
    assert [row["words"] for row in described] == [[], []]
    assert "–" in as_table(described)[1]


@pytest.mark.parametrize("level", [0, 3])
def test_a_prefix_of_impossible_length_is_refused(level):
    with pytest.raises(ValueError, match=f"1 to 2 tokens, not {level}"):
        describe(CODES, TEXTS, POPULARITY, level=level)


def test_the_table_fits_a_terminal():
    texts = TEXTS.assign(text=[f"word{'x' * 40}{item} and{'y' * 90}{item}" for item in range(6)])
    lines = as_table(describe(CODES, texts, POPULARITY, level=2))
    assert max(map(len, lines)) == 100
    assert [line for line in lines if line.startswith("2·1 ")]
    assert as_table(describe(CODES, TEXTS, POPULARITY, top=2))[1:3] == [
        "0             3  case, cases",
        "                 Leather & steel case",
    ]
    assert as_table([]) == ["prefix    items  words, and titles of the most popular items"]


def test_a_catalogue_of_the_usual_size_takes_a_moment():
    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(8000)])
    texts = pd.DataFrame({"id": np.arange(12_000).astype(str)})
    texts["text"] = [" ".join(row) for row in words[rng.zipf(1.3, (12_000, 20)) % 8000]]
    start = time.process_time()
    assert len(describe(random_codes(12_000, 3, 32, 1), texts, rng.integers(50, size=12_000), level=2)) == 1024
    assert time.process_time() - start < 10  # 1 s on a quiet machine
