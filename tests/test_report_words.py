"""The words of the page: both languages say the same, and nothing of it is left in English."""

import json
import re

import numpy as np
import pytest

from bench.data.catalog import LongTail
from bench.data.groups import CASES, FAMILIES, case_groups, find_groups
from bench.data.protocol import PROTOCOLS
from bench.evaluation.beyond import NAMES
from bench.interactions import Interactions
from bench.report.page.html import LANGUAGES, SCRIPTS, asset

WORDS = {language: json.loads(asset(f"{language}.json")) for language in LANGUAGES}


def test_languages_have_the_same_keys_and_values_to_fill_in():
    english, chinese = (WORDS[language] for language in LANGUAGES)
    assert english.keys() == chinese.keys()
    for key in english.keys() - {"rules"}:
        assert sorted(re.findall(r"{\w+}", english[key])) == sorted(re.findall(r"{\w+}", chinese[key])), key


def test_scripts_use_words_that_are_there_and_all_of_them():
    source = "\n".join(map(asset, SCRIPTS))
    used = set(re.findall(r'"([a-z]+(?:\.[a-z]+)*)"', source))
    made = re.findall(r"`([a-z]*)\.?\$\{[^}]*\}\.?([a-z]*)`", source)
    for key in WORDS["en"].keys() - {"rules", "language"}:
        first, last = key.split(".")[0], key.split(".")[-1]
        known = {(first, ""), ("", last), (first, last)} & {tuple(one) for one in made}
        assert key in used or known or first in ("group", "origin", "look", "meaning"), key
    for key in re.findall(r'(?:words|sentence)\("([^"]+)"', source):
        assert key in WORDS["en"], key


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_are_told_in_words(language, name):
    words, protocol = WORDS[language], PROTOCOLS[name]
    rule = protocol.split
    kind = f"ratio.{rule.order}" if rule.kind == "ratio" else rule.kind
    text = words[f"split.{kind}"]
    assert set(re.findall(r"{(\w+)}", text)) <= {*type(rule).model_fields, "ratios", "share"}
    for key in (f"known.{protocol.history}", f"exclude.{protocol.exclude}", f"candidates.{protocol.candidates}"):
        assert words[key]


def all_groups():
    """Every built-in group, of data where none is empty by ties."""
    lengths = np.array([1, 2, 3, 5, 7, 9, 11, 15, 19, 25, 30, 40])
    items = np.concatenate([np.arange(n) for n in lengths]).astype(np.int32)
    train = Interactions(np.concatenate([[0], np.cumsum(lengths)]), items, np.arange(len(items)), 50)
    rules = [LongTail(rule="train-at-most", value=4), LongTail(rule="least-active-share", value=0.2)]
    families = [name for name in FAMILIES if name != "cold"]
    cold = FAMILIES["cold"](train)
    found = [group for rule in rules for group in find_groups(train, rule, families=families)]
    return [*found, *cold, *case_groups(train, train, train)]


def test_rules_of_built_in_groups_are_in_chinese():
    assert {"popularity", "cold", "quartiles", "deciles"} == set(FAMILIES)
    assert CASES == "memory"
    for group in all_groups():
        text = group.rule
        for pattern, words in WORDS["zh"]["rules"]:
            text = re.sub(pattern, re.sub(r"\$(\d)", r"\\\1", words), text)
        assert not re.search("[a-z]", text), f"{group.name}: {text}"
        shown = WORDS["zh"].get(f"group.{group.name}", group.name)
        assert not re.search("[a-z]", shown), group.name


def test_properties_of_lists_have_names_and_meanings():
    for words in WORDS.values():
        assert all(words[f"look.{name}"] and words[f"meaning.{name}"] for name in NAMES)
