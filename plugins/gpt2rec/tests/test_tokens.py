"""The word that each token is part of, and copies of tokenizers."""

import pytest
from bench_gpt2rec import tokens
from bench_torchkit.text import train_bpe
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import ConfigError

MOST = 64


def word_at(text, place):
    """The word around a place, by looking left and right, letter by letter."""
    begin = place
    while begin > 0 and not text[begin - 1].isspace():
        begin -= 1
    end = place
    while end < len(text) and not text[end].isspace():
        end += 1
    return text[begin:end]


def plain_words(tokenizer, text):
    found = []
    for begin, end in tokenizer.encode(text).offsets:
        solid = [place for place in range(begin, end) if not text[place].isspace()]
        found.append(word_at(text, solid[0]) if solid else "")
    return found


@pytest.fixture(scope="module")
def tokenizers(tiny):
    return {
        "trained": train_bpe(tiny.written_texts(), 300),
        "bytes": tiny.byte_level(),
        "bracketed": tiny.bracketed(),
    }


WORDS = ["title", "thing", "kinds", "naïve", "café,", "don't", "(ever)", "x", "7", "Zebra-like", "你好", "ÉTÉ", "ﬁne"]
GAPS = [" ", " ", "  ", "\n", " \n", "\t", "\xa0", "\r\n", "\u2003"]


@pytest.mark.parametrize("gaps", [GAPS[:5], GAPS], ids=["blanks", "any space"])
@pytest.mark.parametrize("name", ["trained", "bytes", "bracketed"])
@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, 99)), min_size=1, max_size=8))
def test_words_are_those_around_the_tokens(tokenizers, name, gaps, pieces):
    text = "".join(word + gaps[gap % len(gaps)] for word, gap in pieces).strip()
    found = tokens.words(tokenizers[name], text, MOST)
    assert found == plain_words(tokenizers[name], text)
    assert set(found) - {""} <= set(text.split())


def test_words_of_a_text_that_is_cut(tokenizers):
    text = "title thing kinds of naïve title"
    for tokenizer in tokenizers.values():
        whole = tokens.encode(tokenizer, [text], MOST)[0].ids
        for most in (3, 4, 7):
            cut = tokens.encode(tokenizer, [text], most)[0].ids
            assert len(cut) == min(most, len(whole))
            assert len(tokens.words(tokenizer, text, most)) == len(cut)
    assert tokens.words(tokenizers["bracketed"], text, 3)[0] == ""
    assert tokens.words(tokenizers["bracketed"], text, 3)[2] == ""


def test_a_copy_neither_pads_nor_cuts(tiny):
    tokenizer = tiny.bracketed()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    copied = tokens.copy(tokenizer)
    assert len(copied.encode("title thing of kind 2").ids) == 7
    assert len(tokenizer.encode("title thing of kind 2").ids) == 9  # and the other is as it was
    first, second = tokens.encode(tokenizer, ["title", "title thing of kind 2"], 5)
    assert len(first.ids) == 3
    assert len(second.ids) == 5


def test_room_for_special_tokens_alone_is_refused(tokenizers):
    special = tokenizers["bracketed"].num_special_tokens_to_add(False)
    assert special
    with pytest.raises(ConfigError, match=rf"{special} tokens hold no word.*raise item_tokens"):
        tokens.encode(tokenizers["bracketed"], ["title thing"], special)
    assert len(tokens.encode(tokenizers["bracketed"], ["title thing"], special + 1)[0].ids) == special + 1
