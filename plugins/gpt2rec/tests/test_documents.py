"""Texts of items and users, each once, and what describes whom."""

import numpy as np
import pandas as pd
import pytest
from bench_gpt2rec import documents
from bench_gpt2rec.documents import NONE, Documents
from bench_torchkit.text import train_bpe
from hypothesis import given
from hypothesis import strategies as st

from bench import BenchError
from bench.testing import interactions_from


def read(settings, items, users=None):
    """The texts of a data set; None: no text column."""
    frames = [
        pd.DataFrame({"id": ["x"] * 4} if texts is None else {"id": ["x"] * len(texts), "text": texts})
        for texts in (items, users)
    ]
    return documents.read(settings, *frames)


texts = st.lists(st.sampled_from(["", "  ", "red", " red ", "blue sky", "a", "red "]), min_size=1, max_size=8)


@given(texts, st.one_of(st.none(), texts))
def test_each_text_is_kept_once_and_is_that_of_its_item_or_user(tiny, item_texts, user_texts):
    items = [text.strip() for text in item_texts]
    users = [text.strip() for text in user_texts or []]
    if not any(items):
        with pytest.raises(BenchError):
            read(tiny.config(), item_texts, user_texts)
        return
    found = read(tiny.config(), item_texts, user_texts)
    assert [found.texts[at] if at != NONE else "" for at in found.items] == items
    assert len(set(items) - {""}) == found.n_item_texts
    if any(users):
        assert [found.texts[at] if at != NONE else "" for at in found.profiles] == users
        assert (found.profiles[found.profiles != NONE] >= found.n_item_texts).all()
        assert len(found.texts) == len(set(items) - {""}) + len(set(users) - {""})
    else:
        assert found.profiles is None
        assert len(found.texts) == found.n_item_texts


def test_users_are_described_as_is_asked(tiny):
    for way, by_profile in (("auto", True), ("profile", True), ("history", False)):
        found = read(tiny.config(user_text=way), ["one", "two"], ["me", ""])
        assert (found.profiles is not None) == by_profile
        assert ("me" in found.texts) == by_profile
    assert read(tiny.config(user_text="auto"), ["one"], None).profiles is None


@pytest.mark.parametrize("items", [None, ["", "  "], [""]])
def test_items_without_texts_are_refused(tiny, items):
    with pytest.raises(BenchError, match="no texts") as caught:
        read(tiny.config(), items, ["me"])
    assert "\n" not in str(caught.value)
    assert "gpt2rec-ids" in str(caught.value)


@pytest.mark.parametrize("users", [None, ["", "  "]])
def test_profiles_that_are_asked_for_and_not_there_are_refused(tiny, users):
    with pytest.raises(BenchError, match="does not describe its users") as caught:
        read(tiny.config(user_text="profile"), ["one"], users)
    assert "\n" not in str(caught.value)
    assert "gpt2rec.user_text=history" in str(caught.value)


def test_texts_are_cut_to_the_tokens_that_are_asked_for(tiny):
    settings = tiny.config(item_tokens=3, user_tokens=5)
    words = "ab cd ef gh ij kl mn"
    found = read(settings, [words, "ab", ""], [words + " ef", "", "cd ab"])
    tokenizer = train_bpe([words] * 3, 300)
    of = documents.tokenize(found, tokenizer, settings)
    assert of.lengths.tolist() == [3, 1, 5, 2]
    whole = tokenizer.encode(words).ids
    assert of.ids[:3].tolist() == whole[:3]
    assert of.ids[4:9].tolist() == whole[:5]
    assert of.items.tolist() == [0, 1, NONE]
    assert of.profiles.tolist() == [2, NONE, 3]
    assert of.of_items(np.array([1, 2, 0])).tolist() == [[1], [NONE], [0]]


def test_a_users_documents(tiny):
    items = [0, 1, NONE, 2, 0]
    histories = interactions_from([[4, 1, 3], [2], [], [0, 1, 2, 3, 4]], 5)
    users = np.array([1, 0, 1, 2])
    by_history = tiny.documents([[1], [2], [3]], items, history=3)
    # Latest first; the item without a text leaves a gap.
    expected = [[2, 1, 0], [NONE] * 3, [NONE] * 3, [0, 2, NONE]]
    assert by_history.of_users(users, histories).tolist() == expected
    by_profile = tiny.documents([[1], [2], [3]], items, profiles=[2, NONE, 1])
    assert by_profile.of_users(users, histories).tolist() == [[NONE], [2], [NONE], [1]]


def test_what_was_saved_is_what_is_loaded(tiny, tmp_path):
    for name, profiles in (("history", None), ("profile", [2, NONE, 1])):
        of = tiny.documents([[1, 4], [2], [3, 3, 3]], [0, NONE, 1], profiles, history=7)
        of = Documents(**{**vars(of), "texts": ["naïve 你好\n", '"quoted"', "a\\b"]})
        (tmp_path / name).mkdir()
        of.save(tmp_path / name)
        found = Documents.load(tmp_path / name)
        for field, value in vars(of).items():
            np.testing.assert_array_equal(getattr(found, field), value, field)
        assert (found.profiles is None) == (profiles is None)


def test_items_without_texts_are_recommended_too(tiny, tmp_path):
    texts = tiny.DATA.items["text"].tolist()
    texts[3], texts[8] = "", "  "
    gaps = tiny.split(items=texts)
    for fusion in ("attention", "pooled", "concat"):
        model, context = tiny.fit(tmp_path / fusion, data=gaps, fusion=fusion, strategy="cached")
        assert context.facts["documents"] == 46
        assert {3, 8} <= set(tiny.lists(model, k=48).items[59].tolist())
        history = interactions_from([[3], [3, 8], []], 48)
        nothing = interactions_from([[]] * 3, 48)
        found = model.recommend(np.array([0, 0, 0]), history, nothing, 48).scores
        np.testing.assert_allclose(found[:2], found[[2, 2]], rtol=1e-5)  # they say nothing of a user
