"""ColaRec as a model of the harness: the published checks, explanations, and input that is to be refused."""

import json
import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from bench_colarec.config import ABLATIONS, PRESETS
from bench_colarec.model import ColaRec
from transformers import BertConfig, BertModel, T5Config, T5EncoderModel

from bench.contract import Recommendations
from bench.errors import BenchError
from bench.testing import (
    FakeContext,
    Interrupted,
    ModelChecks,
    VisibleData,
    assert_same_lists,
    block_interactions,
    interactions_from,
)

DATA = block_interactions()
SMALL = {"width": 16, "layers": 1, "heads": 2, "feed_forward": 16, "epochs": 3, "batch": 32, "item_tokens": 4}
PAPER = {**PRESETS["paper"], **SMALL, "backbone": "scratch", "lengths": "tiny", "gid_width": 4, "batch": 256}


class TestQuick(ModelChecks):
    name = "colarec"
    options: ClassVar = SMALL


class TestPaper(ModelChecks):
    """With more beams than items, since a list of beams is short where they are fewer."""

    name = "colarec"
    options: ClassVar = {**PAPER, "epochs": 4, "batch": 64, "learning_rate": 0.02, "dropout": 0.05}


def fit(folder, data=DATA, context=FakeContext, seed=1, **options):
    model = ColaRec(ColaRec.Config(**{**SMALL, "epochs": 1, **options}))
    folder.mkdir(exist_ok=True)
    given = context(model, data, folder, seed)
    model.fit(data.train, data.valid, given)
    return model, given


def lists(model, data=DATA, k=10):
    return model.recommend(np.arange(data.train.n_users), data.train, data.train, k)


@pytest.mark.parametrize("score", ["generate", "match", "both"])
def test_enough_beams_give_the_lists_of_exact(tmp_path, score):
    exact, _ = fit(tmp_path, score=score)
    beams, _ = fit(tmp_path / "beams", score=score, decoding="beams", beams=60)
    assert_same_lists(lists(beams, k=48), lists(exact, k=48))


def test_scores_are_log_probability_and_product(tmp_path):
    model, _ = fit(tmp_path, score="both")
    net, parts = model._recommender.network, model._recommender.parts
    with torch.no_grad():
        both = model._recommender.scores(DATA.train)
        nodes = torch.from_numpy(parts.tree.nodes)
        for user in (0, 7, 59):
            row = DATA.train.select(np.array([user]))
            from_end = row.items[-10:]  # the latest that the setting "tiny" has room for
            encoded = net.encode(parts.slots.users(np.array([0, len(from_end)]), from_end, 96))
            written = net.write(encoded, nodes[None])[0].sum(-1)
            for item in (0, 13, 47):
                shown = parts.item_users.select(np.array([item]))
                h = net.encode(parts.slots.items(np.array([item]), shown.indptr, shown.items, 96)).summary[0]
                expected = written[item].item() + model.config.match_weight * float(h @ encoded.summary[0])
                assert both[user, item] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("options", "most"), [({"item_users": 2}, 2), ({}, 4), ({"index_inputs": "release"}, 0)])
def test_items_are_recommended_as_they_were_trained_with_few_of_their_users(tmp_path, options, most):
    model, _ = fit(tmp_path, **options)
    shown = model._recommender.parts.item_users
    pairs = set(zip(DATA.train.users.tolist(), DATA.train.items.tolist(), strict=True))
    assert {(user, item) for item, user in zip(shown.users.tolist(), shown.items.tolist(), strict=True)} <= pairs
    assert shown.lengths.tolist() == np.minimum(np.bincount(DATA.train.items, minlength=48), most).tolist()


def test_few_beams_give_short_lists_without_what_is_excluded(tmp_path):
    model, _ = fit(tmp_path, decoding="beams", beams=7, score="both")
    found = lists(model)
    known = {(user, item) for user, item in zip(DATA.train.users, DATA.train.items, strict=True)}
    filled = found.items >= 0
    assert (filled.sum(1) <= 7).all()
    assert not any((user, item) in known for user, row in enumerate(found.items) for item in row)
    nothing = interactions_from([[]] * 60, 48)
    all_beams = model.recommend(np.arange(60), DATA.train, nothing, 10).items
    assert (all_beams[:, :7] >= 0).all()
    assert (all_beams[:, 7:] == -1).all()
    for user, (row, beams) in enumerate(zip(found.items, all_beams, strict=True)):
        expected = [item for item in beams if item >= 0 and (user, item) not in known]
        assert row[row >= 0].tolist() == expected


def test_only_the_latest_items_count(tmp_path):
    model, _ = fit(tmp_path)
    long = list(range(40))
    history = interactions_from([long, long[-10:], long[-9:]], 48)
    found = model.recommend(np.zeros(3, np.int64), history, interactions_from([[]] * 3, 48), 5)
    np.testing.assert_array_equal(found.scores[0], found.scores[1])
    assert (found.scores[0] != found.scores[2]).any()


def test_an_interruption_in_the_second_stage_changes_nothing(tmp_path):
    # The published check interrupts the vectors, after which there is no checkpoint yet.
    options = {"dropout": 0.1, "epochs": 3}
    straight, _ = fit(tmp_path / "straight", **options)  # the vectors are in the cache from now on
    work = tmp_path / "work"
    work.mkdir()
    first, second = ColaRec(straight.config), ColaRec(straight.config)
    context = FakeContext(first, DATA, work, interrupt_after=2)
    with pytest.raises(Interrupted):
        first.fit(DATA.train, DATA.valid, context)
    assert (work / "training.pt").is_file()
    again = FakeContext(second, DATA, work, earlier=context)
    second.fit(DATA.train, DATA.valid, again)
    assert "going on from a checkpoint after epoch 2" in again.messages
    found, expected = lists(second), lists(straight)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_a_loaded_model_needs_nothing_but_its_folder(tmp_path):
    model, _ = fit(tmp_path / "work", codebook="position", tied=False, positions=True, atoms=False)
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    assert not {path.suffix for path in (tmp_path / "saved").iterdir()} & {".pkl", ".pt", ".bin"}
    loaded = ColaRec(model.config)
    loaded.load(tmp_path / "saved", "cpu")
    found, expected = lists(loaded), lists(model)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)
    history = DATA.train.select(np.arange(5))
    some = Recommendations(expected.items[:5], expected.scores[:5])
    assert loaded.explain(np.arange(5), history, some) == model.explain(np.arange(5), history, some)


@pytest.mark.parametrize("options", [
    {"score": "generate", "gid_length": 2},
    {"score": "both", "decoding": "beams", "beams": 12},
    {"score": "match", "gid_source": "random", "codebook": "position", "content": False},
])  # fmt: skip
def test_explanations(tmp_path, options):
    model, _ = fit(tmp_path, **options)
    users = np.array([3, 59, 17], np.int64)  # 59 has no history
    history = DATA.train.select(users)
    found = model.recommend(users, history, history, 8)
    # A list that is short, as at the end of a catalogue.
    found.items[2, 5:], found.scores[2, 5:] = -1, -np.inf
    explained = model.explain(users, history, found)
    assert json.loads(json.dumps(explained)) == explained
    tree = model._recommender.parts.tree
    vectors = model._recommender.item_vectors()
    for row, (items, reasons) in enumerate(zip(found.items, explained, strict=True)):
        items = items[items >= 0]
        assert len(reasons) == len(items)
        known = history.items[history.indptr[row] : history.indptr[row + 1]].tolist()
        for slot, (item, reason) in enumerate(zip(items.tolist(), reasons, strict=True)):
            assert reason["identifier"] == tree.codes[item].tolist()
            assert len(reason["probabilities"]) == tree.length
            score = float(found.scores[row, slot])
            if options["score"] == "generate":
                assert math.prod(reason["probabilities"]) == pytest.approx(math.exp(score), abs=2e-4)
            if options["score"] == "match":
                assert reason["match"] == pytest.approx(score, abs=1e-3)
            if options["score"] == "both":
                logs = sum(math.log(p) for p in reason["probabilities"])
                assert logs + model.config.match_weight * reason["match"] == pytest.approx(score, abs=0.02)
            expected = []
            for other in known:
                codes = zip(tree.codes[other], tree.codes[item], strict=True)
                shared = next((at for at, (a, b) in enumerate(codes) if a != b), tree.length)
                cosine = torch.nn.functional.cosine_similarity(vectors[other], vectors[item], dim=0).item()
                expected.append((-shared, -cosine, other))
            expected = sorted(expected)[:3]
            assert [near["item"] for near in reason["nearest"]] == [other for *_, other in expected]
            for near, (shared, cosine, _) in zip(reason["nearest"], expected, strict=True):
                assert near["shared_codes"] == -shared
                assert near["cosine"] == pytest.approx(-cosine, abs=1e-3)


def test_what_is_noted(tmp_path):
    model, context = fit(tmp_path)
    notes = json.loads(json.dumps(context.notes))
    assert notes["backbone"] == "scratch"
    assert notes["parameters"] == sum(p.numel() for p in model._recommender.network.parameters())
    assert notes["codes_per_position"] == 4  # the smallest K with K³ ≥ 48
    assert sum(prefix["items"] for prefix in notes["prefixes"]) == 48


@pytest.mark.parametrize("ablation", sorted(ABLATIONS))
def test_every_ablation_trains(tmp_path, ablation):
    model, _ = fit(tmp_path, **ABLATIONS[ablation])
    found = lists(model)
    assert (found.items >= 0).all()


class NoTexts(FakeContext):
    def item_texts(self):
        return super().item_texts()[["id"]]


class EmptyTexts(FakeContext):
    """One item has a text of blanks, one of nothing."""

    def item_texts(self):
        texts = super().item_texts()
        texts.loc[[3, 8], "text"] = ["", "  "]
        return texts


class BlankTexts(FakeContext):
    def item_texts(self):
        return super().item_texts().assign(text=" ")


def refused(folder, data=DATA, context=FakeContext, **options):
    """The message of the error, which comes before anything is trained."""
    model = ColaRec(ColaRec.Config(**{**SMALL, **options}))
    folder.mkdir(exist_ok=True)
    given = context(model, data, folder)
    with pytest.raises(BenchError) as caught:
        model.fit(data.train, data.valid, given)
    message = str(caught.value)
    assert "\n" not in message
    assert not given.scores
    assert not any("epoch" in line for line in given.messages)
    return message


@pytest.mark.parametrize("context", [NoTexts, BlankTexts])
def test_a_catalogue_without_texts_is_refused(tmp_path, context):
    message = refused(tmp_path, context=context, vectors_width=17)
    assert "text" in message
    assert "content=false" in message
    for source in ("text", "minilm"):
        assert "text" in refused(tmp_path, context=context, content=False, gid_source=source, vectors_width=17)


def test_a_catalogue_without_texts_is_fine_for_a_model_that_does_not_read(tmp_path):
    model, _ = fit(tmp_path, context=NoTexts, content=False)
    assert (lists(model).items >= 0).all()


@pytest.mark.parametrize("atoms", [True, False])
def test_an_item_without_text_is_recommended_too(tmp_path, atoms):
    model, context = fit(tmp_path, context=EmptyTexts, atoms=atoms)
    assert any(message.startswith("2 of 48 items have no text") for message in context.messages)
    assert {3, 8} <= set(lists(model, k=48).items[59].tolist())


def test_published_identifiers_that_are_not_there_are_refused(tmp_path):
    message = refused(tmp_path, gid_source="published", vectors_width=17)
    assert "gid" in message
    assert "gid_source" in message


class WithGids(FakeContext):
    gids: ClassVar = [f"{1 + item % 4} {1 + item // 4}" for item in range(48)]

    def item_texts(self):
        return super().item_texts().assign(gid=self.gids)


def test_published_identifiers_are_taken_as_they_are(tmp_path):
    model, context = fit(tmp_path, context=WithGids, gid_source="published")
    assert model._recommender.parts.tree.codes.tolist() == [[item % 4, item // 4] for item in range(48)]
    assert context.notes["codes_per_position"] == 12


class WithTwins(WithGids):
    gids: ClassVar = [*WithGids.gids[:-1], WithGids.gids[0]]


def test_published_identifiers_that_are_not_unique_are_refused(tmp_path):
    assert "two items, 0 and 47" in refused(tmp_path, context=WithTwins, gid_source="published", vectors_width=17)


def test_a_catalogue_larger_than_the_tree_is_refused(tmp_path):
    message = refused(tmp_path, gid_width=3, vectors_width=17)
    assert "holds 27 items" in message
    assert "48" in message
    assert "gid_width" in message


def test_a_width_that_heads_do_not_divide_is_refused(tmp_path):
    message = refused(tmp_path, width=18, heads=4, vectors_width=17)
    assert "width 18" in message
    assert "heads 4" in message


@pytest.mark.parametrize("content", [True, False])
def test_a_backbone_that_cannot_be_had_is_refused(tmp_path, content):
    from huggingface_hub.constants import HF_HUB_CACHE

    message = refused(tmp_path, backbone="no/such-model", content=content, vectors_width=17)
    for part in ("no/such-model", HF_HUB_CACHE, "colarec.backbone=FOLDER", "preset quick"):
        assert part in message


def test_a_folder_that_holds_no_whole_t5_is_refused(tmp_path):
    shape = {"vocab_size": 8, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    names = ("empty", "bert", "encoder", "broken", "untyped")
    folders = {name: tmp_path / name for name in names}
    folders["empty"].mkdir()
    BertModel(BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(
        folders["bert"]
    )
    for name in ("encoder", "broken", "untyped"):
        T5EncoderModel(T5Config(**shape)).save_pretrained(folders[name])
    (folders["broken"] / "model.safetensors").write_bytes(b"nothing of use")
    config = folders["untyped"] / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "dropout_rate": "much", "d_model": "wide"}))
    for name, reason in zip(names, ("", "'bert'", "weights are missing", "", ""), strict=True):
        message = refused(tmp_path / "work", backbone=str(folders[name]), vectors_width=17)
        assert f"the folder {folders[name]} holds no T5" in message
        assert reason in message


def test_a_vectors_file_that_is_not_there_is_refused(tmp_path):
    assert "nowhere.npz" in refused(tmp_path, vectors_file=str(tmp_path / "nowhere.npz"))


def test_vectors_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "vectors.npz", items=rng.standard_normal((48, 6)), users=rng.standard_normal((60, 6)))
    model, context = fit(tmp_path / "work", vectors_file=str(tmp_path / "vectors.npz"))
    assert (lists(model).items >= 0).all()
    assert "vectors_seconds" not in context.notes


@pytest.mark.parametrize("options", [{}, PAPER])
def test_users_with_one_interaction_and_with_none(tmp_path, options):
    train = interactions_from([[0], [], [1, 2], [5], []], 6)
    valid = interactions_from([[1], [], [3], [], [4]], 6)
    data = VisibleData(train, valid)
    model, _ = fit(tmp_path, data, **{**options, "epochs": 1})
    found = lists(model, data, k=4)
    assert (found.items >= 0).all()
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_catalogue_of_two_items(tmp_path, length):
    data = VisibleData(interactions_from([[0], [1], [0]], 2), interactions_from([[1], [], []], 2))
    model, _ = fit(tmp_path, data, gid_length=length)
    assert lists(model, data, k=1).items[:, 0].tolist() == [1, 0, 1]


def test_nothing_is_imported_before_it_is_needed():
    import subprocess
    import sys

    code = "import sys, bench_colarec; print(sorted({'torch', 'transformers', 'sklearn'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_work_of_an_earlier_attempt_is_all_in_its_folder(tmp_path):
    fit(tmp_path / "work")
    assert {path.name for path in Path(tmp_path / "work").iterdir()} == {"training.pt"}
