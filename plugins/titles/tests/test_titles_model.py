"""The models of the plugin: the published checks, pretrained backbones, what is noted, explained and refused."""

import shutil
from typing import ClassVar

import numpy as np
import pytest
import torch
from bench_titles import tokens
from bench_titles.model import Titles
from pydantic import ValidationError
from transformers import GPT2LMHeadModel

from bench import ConfigError, DataError
from bench.testing import LocalContext, ModelChecks, assert_same_lists, block_interactions, interactions_from

SMALL = {
    "embedding_size": 32, "layers": 1, "heads": 2, "learning_rate": 0.01, "batch_size": 8, "history": 5,
    "dropout": 0.0, "epochs": 14, "num_beams": 48,
}  # fmt: skip
DATA = block_interactions()


class TestTitles(ModelChecks):
    name = "titles"
    options: ClassVar = SMALL


@pytest.mark.slow
class TestTitlesByBM25(ModelChecks):
    name = "titles@quick-bm25"
    options: ClassVar = {**SMALL, "num_beams": 10}


class TestBM25(ModelChecks):
    name = "bm25"


def fitted(folder, data=DATA, kept=None, **options):
    model = Titles(Titles.Config(**{**SMALL, "epochs": 1, **options}))
    context = LocalContext(model, data, folder, kept=kept)
    model.fit(data.train, data.valid, context)
    return model, context


def lists(model, k=10):
    users = np.arange(DATA.train.n_users)
    return model.recommend(users, DATA.train, DATA.train, k)


def test_groundings_share_the_language_model(tmp_path):
    kept = tmp_path / "kept"
    first, told = fitted(tmp_path / "a", kept=kept, epochs=2, loss="free")
    second, silent = fitted(tmp_path / "b", kept=kept, epochs=2, grounding="bm25", loss="free", num_beams=3)
    assert len(told.scores) == 2
    assert not silent.scores
    other, trained = fitted(tmp_path / "c", kept=kept, epochs=2, loss="free", history=4)
    assert len(trained.scores) == 2
    weights = [one._grounder.writer.state_dict() for one in (first, second, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0] if "wpe" not in name)


def test_facts_of_the_row(tmp_path):
    data = block_interactions()
    titles = [f"thing {item // 2}" if item < 8 else f"thing {item}" for item in range(48)]
    titles[40] = " "
    data.items = data.items.assign(title=titles)
    _, context = fitted(tmp_path, data)
    assert context.facts["backbone"] == "scratch"
    assert context.facts["titles"] == 43
    assert context.facts["items_without_title"] == 1
    assert context.facts["ambiguous_items"] == pytest.approx(8 / 47, abs=1e-4)
    assert "17.0% of the items share their title, 1 have none" in context.messages[0]


def test_what_is_written_freely_is_looked_up_in_the_catalogue(tmp_path):
    model, context = fitted(tmp_path, grounding="bm25", loss="free", num_beams=4, epochs=3)
    titles = {f"thing {item} of kind {item % 4}" for item in range(48)}
    queries = list(model._grounder.queries(DATA.train.select(np.arange(59))))  # the last user has no history
    written = [query.text for row in queries for query in row]
    expected = sum(text in titles for text in written) / len(written)
    assert 0 < expected < 1
    assert context.facts["written_titles_that_exist"] == pytest.approx(expected, abs=1e-4)
    assert context.messages[-1].startswith(f"{expected:.1%} of {len(written)} titles")


def test_items_without_titles_are_refused_before_training(tmp_path):
    data = block_interactions()
    data.items = data.items.assign(title="", brand="b")[["id", "title", "brand"]]
    for name in ("titles", "bm25"):
        model = Titles(Titles.Config(**SMALL)) if name == "titles" else TestBM25().model()
        with pytest.raises(DataError, match=rf"^{name}: .* have no titles .* of brand$") as info:
            model.fit(data.train, data.valid, LocalContext(model, data, tmp_path / name))
        assert "\n" not in str(info.value)


def test_an_order_by_time_needs_times(tmp_path):
    train = DATA.train
    timeless = type(train)(train.indptr, train.items, np.zeros_like(train.times), train.n_items)
    data = block_interactions()
    data._parts["train"] = timeless
    with pytest.raises(DataError, match="no times"):
        fitted(tmp_path / "time", data, order="time")
    fitted(tmp_path / "random", data, order="random")


def test_a_local_gpt2_is_adapted_and_comes_back_from_disk(tmp_path, gpt2_folder):
    options = {"backbone": str(gpt2_folder), "finetuning": "lora", "learning_rate": 0.1, "epochs": 3, "order": "random"}
    model, context = fitted(tmp_path, **options)
    assert context.facts["backbone"] == gpt2_folder.name
    assert context.facts["trained_parameters"] < context.facts["parameters"] / 2
    state = model._grounder.writer.state_dict()
    plain = Titles(Titles.Config(**{**SMALL, "backbone": str(gpt2_folder)}))._language_model([])[0].state_dict()
    adapters = [name for name in state if "lora_" in name]
    assert {name.rsplit(".lora_", 1)[0].split(".")[-1] for name in adapters} == {"c_attn", "c_proj"}
    assert any(state[name].abs().max() > 0 for name in adapters if "lora_B" in name)  # they begin at 0
    for name, value in plain.items():  # and all else is as it was
        module, _, part = f"model.{name}".rpartition(".")
        moved = f"{module}.base_layer.{part}"
        assert torch.equal(state[moved if moved in state else f"model.{name}"], value), name
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    loaded = Titles(model.config)
    loaded.load(tmp_path / "saved", "cpu")
    assert_same_lists(lists(loaded), lists(model))


def test_other_weights_in_the_folder_of_a_backbone_are_trained_anew(tmp_path, gpt2_folder):
    folder, kept = tmp_path / "gpt2", tmp_path / "kept"
    shutil.copytree(gpt2_folder, folder)
    options = {"backbone": str(folder), "finetuning": "lora", "epochs": 1, "order": "random"}
    assert fitted(tmp_path / "a", kept=kept, **options)[1].scores
    assert not fitted(tmp_path / "b", kept=kept, **options)[1].scores
    model = GPT2LMHeadModel.from_pretrained(folder)
    with torch.no_grad():
        model.transformer.wte.weight.mul_(0.5)
    model.save_pretrained(folder)
    assert fitted(tmp_path / "c", kept=kept, **options)[1].scores


def test_a_pretrained_backbone_is_trained_in_full_too(tmp_path, gpt2_folder):
    _, context = fitted(tmp_path, backbone=str(gpt2_folder))
    assert context.facts["trained_parameters"] == context.facts["parameters"]


def test_a_backbone_that_cannot_be_had_is_one_line(tmp_path, gpt2_folder):
    for options, found in (
        ({"backbone": "no/such-model"}, "bench models fetch titles"),
        ({"backbone": str(tmp_path)}, "holds no model that can be used"),
        ({"backbone": str(gpt2_folder), "history": 60}, "are asked for: choose a smaller titles.history"),
        ({"tokenizer": str(tmp_path)}, "holds no tokenizer that can be used"),
        ({"backbone": str(gpt2_folder), "finetuning": "lora", "lora_modules": ("none",)}, "name modules in"),
    ):
        with pytest.raises(ConfigError, match=found) as info:
            fitted(tmp_path / "work", **options)
        assert "\n" not in str(info.value)


def test_configs_that_do_not_fit_are_refused():
    with pytest.raises(ValidationError, match="needs a pretrained backbone"):
        Titles.Config(finetuning="lora")
    with pytest.raises(ValidationError, match="use loss=free"):
        Titles.Config(loss="trie", grounding="bm25")
    with pytest.raises(ValidationError, match="no multiple of heads"):
        Titles.Config(embedding_size=30, heads=4)


def test_a_tokenizer_of_others_serves_a_model_from_scratch(tmp_path, gpt2_folder):
    model, context = fitted(tmp_path, tokenizer=str(gpt2_folder))
    assert context.facts["backbone"] == "scratch"
    assert model._grounder.tokenizer.get_vocab() == tokens.pretrained(str(gpt2_folder), "tokenizer").get_vocab()


def test_the_two_files_of_gpt2_are_a_tokenizer(tmp_path):
    titles = ["Naïve café (1995)", "the red door"]
    trained = tokens.train(titles, 300)
    trained.model.save(str(tmp_path))
    found = tokens.pretrained(str(tmp_path), "tokenizer")
    assert tokens.end(found) == tokens.end(trained)
    # The trained one has no case, and puts a blank before the first word.
    written = found.encode(" naïve café (1995)").ids
    assert [written] == tokens.encode(trained, titles[:1], 99)
    assert tokens.decode(found, [*written, tokens.end(found)]) == "naïve café (1995)"
    (tmp_path / "merges.txt").write_text("no merges", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds no tokenizer that can be used"):
        tokens.pretrained(str(tmp_path), "tokenizer")


def test_what_is_written_can_be_read_back():
    titles = ["Naïve café (1995)", "a  b", "Ünïcode ☃ №5", "don't"]
    tokenizer = tokens.train(titles, 300)
    read = [tokens.decode(tokenizer, ids) for ids in tokens.encode(tokenizer, titles, 99)]
    assert read == ["naïve café (1995)", "a b", "ünïcode ☃ no5", "don't"]


def explained(model, history, exclude, k):
    users = np.arange(history.n_users)
    found = model.recommend(users, history, exclude, k)
    return found, model.explain(users, history, found)


def test_explanations_of_the_trie_say_what_was_written(tmp_path):
    data = block_interactions()
    data.items = data.items.assign(title=[f"thing {item // 2} of" for item in range(48)])
    model, _ = fitted(tmp_path, data, num_beams=3)
    history = interactions_from([[1, 2], []], 48)
    found, reasons = explained(model, history, history, 8)
    for row in range(2):
        expected = [f"thing {item // 2} of" for item in found.items[row, :5]]
        assert [reason["written"] for reason in reasons[row][:5]] == expected
        scores = [reason["log_probability"] for reason in reasons[row][:5]]
        np.testing.assert_allclose(scores, found.scores[row, :5], rtol=1e-4)
        assert reasons[row][0]["shared_with"] == [{"item": int(found.items[row, 0]) ^ 1}]
        assert "popularity" in reasons[row][-1]["written"]


def test_explanations_of_bm25_say_what_was_asked(tmp_path):
    model, _ = fitted(tmp_path, grounding="bm25", loss="free", num_beams=4, items_per_query=2, epochs=12)
    history = interactions_from([[1, 5], []], 48)
    found, reasons = explained(model, history, history, 20)
    queries = list(model._grounder.queries(history))
    for row in range(2):
        for place, item in enumerate(found.items[row]):
            reason = reasons[row][place]
            if "popularity" in reason["written"]:
                continue
            query = queries[row][reason["query"] - 1]
            assert reason["written"] == query.text
            assert reason["grounded_to"] == {"item": item}
            assert set(query.text.split()) & set(f"thing {item} of kind {item % 4}".split())
            assert found.scores[row, place] == pytest.approx(reason["log_probability"], rel=1e-5)
        assert "query" in reasons[row][0]
        assert "popularity" in reasons[row][-1]["written"]
