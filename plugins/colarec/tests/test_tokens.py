"""Item texts as token ids."""

import numpy as np
import pytest
from bench_colarec.items import tokens
from hypothesis import example, given
from hypothesis import strategies as st

TEXTS = ["title Red Phone Case brand Acme", "", "title red case categories cases", "Ünïcode Case ½ 漢字", "   "] * 2


@pytest.fixture(scope="module")
def encoder():
    return tokens.train(TEXTS, 300)


@given(st.lists(st.text(max_size=12), min_size=1, max_size=8), st.integers(1, 5))
@example(["a</s>b"], 1)
def test_table_is_the_tokens_of_each_item_alone(encoder, texts, most):
    table = tokens.table(encoder, texts, most)
    assert len(table.lengths) == len(texts)
    for item, text in enumerate(texts):
        alone = [token for token in encoder.encode([text])[0] if token not in (tokens.PAD, tokens.EOS)][:most]
        assert table.ids[table.indptr[item] : table.indptr[item + 1]].tolist() == alone
    assert table.size == len(encoder)
    assert table.ids.max(initial=0) < table.size


def test_special_tokens_are_those_of_t5_and_never_in_a_text(encoder):
    inner = encoder.tokenizer
    assert [inner.token_to_id(token) for token in ("<pad>", "</s>", "<unk>")] == [0, 1, 2]
    assert (tokens.PAD, tokens.EOS, tokens.UNKNOWN) == (0, 1, 2)
    table = tokens.table(encoder, [*TEXTS, "z <pad> red", "red </s> case </s>"], 9)
    assert not set(table.ids) & {tokens.PAD, tokens.EOS}
    red, case, unknown = (encoder.encode([text])[0] for text in ("red", "case", "z"))
    assert unknown == [tokens.UNKNOWN]  # no text of the catalogue has a z
    assert table.ids[table.indptr[-3] :].tolist() == [*unknown, *red, *red, *case]


def test_words_that_occur_twice_become_one_token(encoder):
    # Byte-pair encoding merges what is frequent: "case" occurs in six texts of ten, in any case of letters.
    found = {encoder.tokenizer.id_to_token(row[0]) for row in encoder.encode(["case", "CASE"]) if len(row) == 1}
    assert found == {"case"}
    assert encoder.encode(["case"]) == encoder.encode(["CASE"])


def test_training_is_deterministic(encoder):
    assert tokens.train(TEXTS, 300).tokenizer.to_str() == encoder.tokenizer.to_str()


def test_vocabulary_is_no_larger_than_asked_for():
    words = [f"{a}{b}{c}" for a in "abcdef" for b in "ghijkl" for c in "mnopqr"] * 3
    assert len(tokens.train([" ".join(words)], 40)) == 40


def test_no_text_is_no_tokens():
    table = tokens.no_text(4)
    assert table.lengths.tolist() == [0] * 4
    assert len(table.ids) == 0
    assert table.size == 3  # padding, end and unknown keep their rows


def test_a_tokenizer_of_a_folder_reads_without_special_tokens(tmp_path, encoder):
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=encoder.tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(tmp_path)
    found = tokens.pretrained(str(tmp_path))
    assert len(found) == len(encoder)
    assert found.encode(TEXTS) == encoder.encode(TEXTS)


def test_ids_stay_below_the_size_of_the_table():
    table = tokens.table(tokens.train(TEXTS, 300), TEXTS, 8)
    assert table.ids.dtype == np.int32
    assert (table.ids < table.size).all()
