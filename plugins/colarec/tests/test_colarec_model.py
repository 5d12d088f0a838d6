"""ColaRec as a model of the harness: the published checks, explanations, and input that is to be refused."""

import json
import math
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
import torch
from bench_colarec.config import ABLATIONS, PRESETS
from bench_colarec.model import ColaRec

from bench import Recommendations
from bench.testing import (
    Interrupted,
    LocalContext,
    ModelChecks,
    assert_same_lists,
    block_interactions,
    interactions_from,
)

DATA = block_interactions()
SMALL = {
    "embedding_size": 16,
    "layers": 1,
    "heads": 2,
    "feed_forward": 16,
    "epochs": 3,
    "batch_size": 32,
    "item_tokens": 4,
}
PAPER = {**PRESETS["paper"], **SMALL, "backbone": "scratch", "lengths": "tiny", "codebook_size": 4, "batch_size": 256}


class TestQuick(ModelChecks):
    name = "colarec"
    options: ClassVar = SMALL


@pytest.mark.slow
class TestPaper(ModelChecks):
    """With more beams than items, since a list of beams is short where they are fewer."""

    name = "colarec"
    options: ClassVar = {**PAPER, "epochs": 4, "batch_size": 64, "learning_rate": 0.02, "dropout": 0.05}


@pytest.mark.parametrize(
    "score", [pytest.param("generate", marks=pytest.mark.slow), pytest.param("match", marks=pytest.mark.slow), "both"]
)
def test_enough_beams_give_the_lists_of_exact(tiny, tmp_path, score):
    exact, _ = tiny.fit(tmp_path, score=score)
    beams, _ = tiny.fit(tmp_path / "beams", score=score, decoding="beams", num_beams=60)
    assert_same_lists(tiny.lists(beams, k=48), tiny.lists(exact, k=48))


def test_scores_are_log_probability_and_product(tiny, tmp_path):
    model, _ = tiny.fit(tmp_path, score="both")
    net, parts = model._ranker.network, model._ranker.parts
    with torch.no_grad():
        both = model._ranker.scores(DATA.train)
        nodes = torch.from_numpy(parts.tree.nodes)
        for user in (0, 7, 59):
            row = DATA.train.select(np.array([user]))
            from_end = row.items[-10:]  # the latest that the setting "tiny" has room for
            encoded = net.encode(parts.inputs.users(np.array([0, len(from_end)]), from_end, 96))
            likely = net.log_likelihood(encoded, nodes[None])[0].sum(-1)
            for item in (0, 13, 47):
                shown = parts.item_users.select(np.array([item]))
                h = net.encode(parts.inputs.items(np.array([item]), shown.indptr, shown.items, 96)).pooled[0]
                expected = likely[item].item() + model.config.match_weight * float(h @ encoded.pooled[0])
                assert both[user, item] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("options", "most"), [({"item_users": 2}, 2), ({}, 4), ({"index_inputs": "release"}, 0)])
def test_items_are_recommended_as_they_were_trained_with_few_of_their_users(tiny, tmp_path, options, most):
    model, _ = tiny.fit(tmp_path, **options)
    shown = model._ranker.parts.item_users
    pairs = set(zip(DATA.train.users.tolist(), DATA.train.items.tolist(), strict=True))
    assert {(user, item) for item, user in zip(shown.users.tolist(), shown.items.tolist(), strict=True)} <= pairs
    assert shown.lengths.tolist() == np.minimum(np.bincount(DATA.train.items, minlength=48), most).tolist()


def test_excluded_items_take_no_beam(tiny, tmp_path):
    model, _ = tiny.fit(tmp_path, decoding="beams", num_beams=7, score="both")
    users = np.flatnonzero(DATA.train.lengths)
    found = tiny.lists(model)
    found = Recommendations(found.items[users], found.scores[users])
    known = {(user, item) for user, item in zip(DATA.train.users, DATA.train.items, strict=True)}
    assert ((found.items >= 0).sum(1) == 7).all()
    assert (found.items[:, :7] >= 0).all()
    assert not any((user, item) in known for user, row in zip(users, found.items, strict=True) for item in row)
    nothing = interactions_from([[]] * 60, 48)
    all_beams = model.recommend(np.arange(60), DATA.train, nothing, 10).items[users]
    assert (all_beams[:, :7] >= 0).all()
    assert (all_beams[:, 7:] == -1).all()
    assert any((user, item) in known for user, row in zip(users, all_beams, strict=True) for item in row)


def test_only_the_latest_items_count(tiny, tmp_path):
    model, _ = tiny.fit(tmp_path)
    long = list(range(40))
    history = interactions_from([long, long[-10:], long[-9:]], 48)
    found = model.recommend(np.zeros(3, np.int64), history, interactions_from([[]] * 3, 48), 5)
    np.testing.assert_array_equal(found.scores[0], found.scores[1])
    assert (found.scores[0] != found.scores[2]).any()


@pytest.mark.slow
def test_an_interruption_in_the_second_stage_changes_nothing(tiny, tmp_path):
    # The published check interrupts the vectors, after which there is no checkpoint yet.
    options = {"dropout": 0.1, "epochs": 3}
    kept, work = tmp_path / "kept", tmp_path / "work"
    straight, _ = tiny.fit(tmp_path / "straight", kept=kept, **options)  # its vectors are kept
    first, second = ColaRec(straight.config), ColaRec(straight.config)
    context = LocalContext(first, DATA, work, interrupt_after=2, kept=kept)
    with pytest.raises(Interrupted):
        first.fit(DATA.train, DATA.valid, context)
    assert {path.name for path in (work / "checkpoints").iterdir()} == {"training.pt"}
    again = LocalContext(second, DATA, work, kept=kept)
    second.fit(DATA.train, DATA.valid, again)
    assert "going on from a checkpoint after epoch 2 of stage 1" in again.messages
    found, expected = tiny.lists(second), tiny.lists(straight)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_a_loaded_model_needs_nothing_but_its_folder(tiny, tmp_path):
    model, _ = tiny.fit(tmp_path / "work", codebook="position", tied=False, positions=True, item_ids=False)
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    assert not {path.suffix for path in (tmp_path / "saved").iterdir()} & {".pkl", ".pt", ".bin"}
    loaded = ColaRec(model.config)
    loaded.load(tmp_path / "saved", "cpu")
    found, expected = tiny.lists(loaded), tiny.lists(model)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)
    history = DATA.train.select(np.arange(5))
    some = Recommendations(expected.items[:5], expected.scores[:5])
    assert loaded.explain(np.arange(5), history, some) == model.explain(np.arange(5), history, some)


@pytest.mark.parametrize("options", [
    {"score": "generate", "codes": 2},
    {"score": "both", "decoding": "beams", "num_beams": 12},
    {"score": "match", "gid_source": "random", "codebook": "position", "content": False},
])  # fmt: skip
def test_explanations(tiny, tmp_path, options):
    model, _ = tiny.fit(tmp_path, **options)
    users = np.array([3, 59, 17], np.int64)  # 59 has no history
    history = DATA.train.select(users)
    found = model.recommend(users, history, history, 8)
    # A list that is short, as at the end of a catalogue.
    found.items[2, 5:], found.scores[2, 5:] = -1, -np.inf
    explained = model.explain(users, history, found)
    assert json.loads(json.dumps(explained)) == explained
    tree = model._ranker.parts.tree
    vectors = model._ranker.item_vectors()
    for row, (items, reasons) in enumerate(zip(found.items, explained, strict=True)):
        items = items[items >= 0]
        assert len(reasons) == len(items)
        if users[row] == 59:
            assert {reason["generated"] for reason in reasons} == {
                "nothing: it is popular, and the user has no history"
            }
            continue
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


def test_what_is_noted(tiny, tmp_path):
    model, context = tiny.fit(tmp_path)
    notes = json.loads(json.dumps(context.facts))
    assert notes["backbone"] == "scratch"
    assert notes["parameters"] == sum(p.numel() for p in model._ranker.network.parameters())
    assert notes["codes_per_position"] == 4  # the smallest K with K³ ≥ 48
    assert sum(prefix["items"] for prefix in notes["prefixes"]) == 48


@pytest.mark.slow
@pytest.mark.parametrize("ablation", sorted(ABLATIONS))
def test_every_ablation_trains(tiny, tmp_path, ablation):
    model, _ = tiny.fit(tmp_path, **ABLATIONS[ablation])
    found = tiny.lists(model)
    assert (found.items >= 0).all()


def test_nothing_is_imported_before_it_is_needed():
    code = "import sys, bench_colarec; print(sorted({'torch', 'transformers', 'sklearn'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_is_kept_gives_the_same_lists_with_its_cost(tiny, tmp_path):
    made, before = tiny.fit(tmp_path / "made", kept=tmp_path / "kept", score="both")
    kinds = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "kept").iterdir())
    assert kinds == ["identifiers", "unseen-vectors", "vectors"]
    again, after = tiny.fit(tmp_path / "again", kept=tmp_path / "kept", score="both")
    assert (before.reused.clock, len(before.scores) > 1) == (0, True)
    assert after.reused.clock > 0
    assert len(after.scores) == 1  # the generator's; no vectors were trained
    found, expected = tiny.lists(again), tiny.lists(made)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"vectors_size": 9}, {"vectors_layers": 1}, {"seed": 2}, {"held_out": 0.3}])
def test_what_vectors_depend_on_makes_others(tiny, tmp_path, options):
    tiny.fit(tmp_path / "one", kept=tmp_path / "kept")
    first = {path.name for path in (tmp_path / "kept").iterdir()}
    tiny.fit(tmp_path / "other", kept=tmp_path / "kept", **options)
    new = {path.name.rsplit("-", 1)[0] for path in (tmp_path / "kept").iterdir() if path.name not in first}
    shared = {"vectors", "identifiers"} if "held_out" in options else set()  # these know all of train
    assert new == {"identifiers", "unseen-vectors", "vectors"} - shared
