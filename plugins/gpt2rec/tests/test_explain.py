"""Reasons: the words and items that carried the attention, against loops."""

import json
import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from bench_gpt2rec import tokens
from bench_gpt2rec.explain import template

from bench.testing import interactions_from

USERS = np.array([3, 59, 17, 2], np.int64)  # 59 has no history, and 2 no profile


def explained(tiny, model, k=6):
    history = tiny.DATA.train.select(USERS)
    found = model.recommend(USERS, history, history, k)
    found.items[2, 4:], found.scores[2, 4:] = -1, -np.inf  # a short list, as at the end of a catalogue
    return found, history, model.explain(USERS, history, found)


def shares(tiny, model, tower, number, read):
    """(word, share) of each token, document by document: the mean over heads of plain attention."""
    net, of = model._network, model._network.encoder.documents
    if not read:
        return []
    with torch.no_grad():
        states = tiny.states_of(net, tower, read)
        _, heads = tiny.plain_attention(tower.fusion, tower.ids.weight[int(number)], torch.cat(states))
    mean = [sum(column) / len(heads) for column in zip(*heads, strict=True)]
    found = []
    for document, own in zip(read, states, strict=True):
        words = tokens.words(model._tokenizer, of.texts[document], int(of.max_tokens[document]))[: len(own)]
        found.append(list(zip(words, mean[: len(own)], strict=True)))
        mean = mean[len(own) :]
    return found


def assert_words(found, expected, common=()):
    """The five largest; rounding may swap what is nearly tied. ``common`` words leave their share to the others."""
    sums = defaultdict(float)
    for document in expected:
        for word, share in document:
            if word.strip(".,:;!?\"'()[]") not in {"", *common}:
                sums[word.strip(".,:;!?\"'()[]")] += share
    sums = {word: share / sum(sums.values()) for word, share in sums.items()}
    assert len(found) == min(5, len(sums))
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert list(found.values()) == pytest.approx(sorted(sums.values(), reverse=True)[:5], abs=1e-3)
    assert found == pytest.approx({word: sums[word] for word in found}, abs=1e-3)


def in_nearly_all(texts):
    words = {word.strip(".,:;!?\"'()[]") for text in texts for word in text.split()}
    return {word for word in words if sum(word in text for text in set(texts)) >= 0.8 * len(set(texts))}


def test_words_of_a_template_are_those_that_nearly_all_texts_have():
    texts = [f"Movie: film {number}. Genres: {'Drama' if number % 2 else 'Comedy'}." for number in range(10)]
    texts += ["User profile: age 1"] * 2
    items = np.array([*range(10), -1])
    assert template(texts, items) == {"Movie", "film", "Genres"}
    assert template([*texts, "another", "two words"], np.array([*range(10), 12, 13])) == {"Movie", "film", "Genres"}
    assert template([*texts, *"abc"], np.array([*range(10), 12, 13, 14])) == set()
    assert template(texts, np.array([0])) == set()
    assert template(texts, np.array([-1, -1])) == set()


@pytest.mark.parametrize("data", ["DATA", "PROFILED"])
def test_reasons_are_the_shares_of_attention(tiny, tmp_path, data):
    model, _ = tiny.fit(tmp_path, data=getattr(tiny, data), strategy="dynamic")
    with torch.no_grad():  # attention that looks somewhere
        for tower in (model._network.users, model._network.items):
            tower.fusion.query.weight.mul_(8)
    found, history, reasons = explained(tiny, model)
    assert json.loads(json.dumps(reasons)) == reasons
    net, of = model._network, model._network.encoder.documents
    known = tiny.rows_of(history)
    of_items = in_nearly_all([of.texts[document] for document in of.items])
    for row, user in enumerate(USERS):
        items = found.items[row][found.items[row] >= 0]
        assert len(reasons[row]) == len(items)
        of_user = shares(tiny, model, net.users, user, tiny.read_by(of, user, known[row]))
        for item, reason in zip(items, reasons[row], strict=True):
            assert_words(reason["item_words"], shares(tiny, model, net.items, item, [int(of.items[item])]), of_items)
            assert_words(reason["user_words"], of_user, of_items if of.profiles is None else {"age", "likes", "kind"})
            assert set(reason) == {"item_words", "user_words"} | (set() if of.profiles is not None else {"read"})
            for words in (reason["item_words"], reason["user_words"]):
                assert sum(words.values()) <= 1 + 5 * 0.0005  # each is rounded
            assert set(reason["item_words"]) <= set(of.texts[of.items[item]].split())
    assert max(reasons[0][0]["item_words"].values()) > 0.25
    if of.profiles is None:
        assert not reasons[1][0]["user_words"]
        assert reasons[1][0]["read"] == []
    else:
        assert {len(slot["user_words"]) for slot in reasons[3]} == {0}


def test_read_are_the_items_of_the_history_that_carried_most(tiny, tmp_path):
    model, _ = tiny.fit(tmp_path, strategy="cached", history=5)
    with torch.no_grad():
        model._network.users.fusion.query.weight.mul_(8)
    _, history, reasons = explained(tiny, model, k=2)
    net, of = model._network, model._network.encoder.documents
    for user, known, slots in zip(USERS, tiny.rows_of(history), reasons, strict=True):
        read = known[::-1][:5]
        documents = shares(tiny, model, net.users, user, [int(of.items[item]) for item in read])
        total = {item: sum(share for _, share in own) for item, own in zip(read, documents, strict=True)}
        best = sorted(total, key=lambda item: -total[item])[:3]
        for slot in slots:
            assert [one["item"] for one in slot["read"]] == best
            for one in slot["read"]:
                assert one["weight"] == pytest.approx(total[one["item"]], abs=1e-3)
    assert math.fsum(one["weight"] for one in reasons[0][0]["read"]) > 0.3


def test_only_items_of_the_history_are_read_whatever_was_seen_in_training(tiny, tmp_path):
    model, _ = tiny.fit(tmp_path, strategy="cached")
    history = interactions_from([[40, 2], [7], [], [1, 2, 3, 4, 5, 6]], 48)
    found = model.recommend(USERS, history, history, 3)
    read = [{one["item"] for one in slots[0]["read"]} for slots in model.explain(USERS, history, found)]
    assert read == [{40, 2}, {7}, set(), {4, 5, 6}]


@pytest.mark.parametrize("options", [
    {"name": "gpt2rec-ids"}, {"name": "gpt2rec-basic"}, {"fusion": "pooled"}, {"fusion": "concat"},
])  # fmt: skip
def test_without_attention_over_tokens_reasons_are_empty(tiny, tmp_path, options):
    model, _ = tiny.fit(tmp_path, **{"strategy": "cached", **options})
    found, _, reasons = explained(tiny, model)
    assert reasons == [[{}] * int((row >= 0).sum()) for row in found.items]
    assert [len(row) for row in reasons] == [6, 6, 4, 6]


def test_nobody_is_explained(tiny, tmp_path):
    model, _ = tiny.fit(tmp_path, strategy="cached")
    history = tiny.DATA.train.select(USERS[:0])
    found = model.recommend(USERS[:0], history, history, 3)
    assert model.explain(USERS[:0], history, found) == []


def test_users_whose_lists_are_empty(tiny, tmp_path):
    model, _ = tiny.fit(tmp_path, strategy="cached")
    full = interactions_from([list(range(48))] * 2, 48)
    found = model.recommend(USERS[:2], full, full, 3)
    assert model.explain(USERS[:2], full, found) == [[], []]


def test_shares_of_many_words_are_no_more_than_all(tiny, tmp_path):
    """As they are given, so rounded ones too."""
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]
    short = tiny.split(items=[" ".join(words[: 1 + item % 6]) for item in range(48)])
    model, _ = tiny.fit(tmp_path, data=short, strategy="cached", epochs=1, vocab_size=300)
    users = np.arange(8)
    history = tiny.DATA.train.select(users)
    nothing = interactions_from([[]] * 8, 48)
    found = model.recommend(users, history, nothing, 12)
    for slots in model.explain(users, history, found):
        for slot in slots:
            for words in (slot["item_words"], slot["user_words"]):
                assert sum(words.values()) <= 1 + 1e-9
