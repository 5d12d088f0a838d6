"""Items without interactions: vectors, identifiers and a place in the teacher, by their texts."""

import numpy as np
import pytest
from bench_colarec.config import PRESETS, ColaRecConfig
from bench_colarec.items.vectors import twins
from bench_colarec.model import ColaRec
from bench_colarec.teacher import Teacher

from bench.messages.cell import Stopping
from bench.testing import LocalContext, MemorySplit, block_interactions, interactions_from

KINDS = ["red shoe leather", "blue phone case", "green tea leaf", "old book paper"]
COLD = [40, 41, 42, 43]


def block_split():
    """Blocks of users and items, where each block has one item that nobody bought; texts say the block."""
    data = block_interactions()
    rows = [[i for i in data.train.items[data.train.indptr[u] : data.train.indptr[u + 1]] if i not in COLD]
            for u in range(60)]  # fmt: skip
    found = MemorySplit(interactions_from(rows, 48), data.valid)
    found.items["text"] = [f"{KINDS[item % 4]} {item}" for item in range(48)]
    return found


def test_a_cold_item_has_the_twin_that_its_text_is_like():
    texts = ["apple pie", "apple tree", "steel screw", "steel nail", "apple tree", "steel nail", "", "zebra"]
    cold = np.arange(8) >= 4
    assert twins(cold, texts).tolist() == [0, 1, 2, 3, 1, 3, 6, 7]  # no text; a text like no other


def test_the_teacher_scores_a_cold_item_as_its_twin(tmp_path):
    data = block_split()
    model = Teacher(Teacher.Config(cold_texts=True, vectors_size=8))
    model.fit(data.train, data.valid, LocalContext(model, data, tmp_path))
    scores = model.score(np.arange(60), data.train)
    for item in COLD:
        likes = [other for other in range(48) if other not in COLD and np.allclose(scores[:, other], scores[:, item])]
        assert any(other % 4 == item % 4 for other in likes)
    without = Teacher(Teacher.Config(cold_texts=False, vectors_size=8))
    without.fit(data.train, data.valid, LocalContext(without, data, tmp_path / "without"))
    assert not any(np.allclose(without.score(np.arange(60), data.train)[:, COLD[0]], one) for one in scores.T)


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("bought", [True, False])
def test_cold_items_stay_apart_where_validation_is_worse_with_them(tmp_path, bought, every):
    """If nobody takes one in validation, by text they only push others down."""
    data = block_split()
    valid = data.valid if bought else data.valid.where(~np.isin(data.valid.items, COLD))
    given = MemorySplit(data.train, valid)
    given.items["text"] = data.items["text"]
    model = Teacher(Teacher.Config(cold_texts=True, vectors_size=8))
    context = LocalContext(model, given, tmp_path, stopping=Stopping(every=every))
    model.fit(data.train, valid, context)
    said = "get the vectors of those most like them by text" if bought else "stay apart: by text, validation is worse"
    assert f"4 items without interactions {said}" in context.messages
    by_text, apart = context.scores[-2:]
    assert (by_text > apart) is bought


def test_without_validation_cold_items_get_vectors_by_text_and_it_is_told(tmp_path):
    data = block_split()
    given = MemorySplit(data.train, interactions_from([[]] * data.train.n_users, data.train.n_items))
    given.items["text"] = data.items["text"]
    model = Teacher(Teacher.Config(cold_texts=True, vectors_size=8))
    context = LocalContext(model, given, tmp_path)
    model.fit(data.train, given.valid, context)
    assert not context.scores
    assert any(line.endswith("like them by text, which validation did not decide") for line in context.messages)


@pytest.mark.parametrize("by_text", [True, False])
def test_texts_put_cold_items_below_the_prefix_of_their_twin(tiny, tmp_path, by_text):
    model, context = tiny.fit(
        tmp_path, block_split(), cold_texts=by_text, content=False, codes=2, codebook_size=12, held_out=0.0
    )
    first = model._ranker.parts.tree.codes[:, 0].tolist()
    assert all(first[item] == first[item % 4] for item in COLD) is by_text  # the first item of its kind is most like it
    assert any("4 items without interactions" in message for message in context.messages) is by_text


@pytest.mark.parametrize("text", ["", "!?"])
def test_cold_items_without_texts_are_told_and_no_error(tiny, tmp_path, text):
    data = block_split()
    data.items["text"] = text
    _, context = tiny.fit(tmp_path, data, cold_texts=True, content=False)
    assert any(message.startswith("4 items have neither interactions nor texts") for message in context.messages)


@pytest.mark.slow
def test_a_taught_generator_recommends_cold_items_to_those_who_like_their_kind(tmp_path):
    data = block_split()
    small = {"embedding_size": 16, "layers": 1, "heads": 2, "feed_forward": 16, "batch_size": 32}
    taught = {"epochs": 60, "epoch_samples": 1, "learning_rate": 0.01, "teacher_items": 20}
    model = ColaRec(ColaRecConfig(**{**PRESETS["distilled"], **small, **taught}))
    model.fit(data.train, data.valid, LocalContext(model, data, tmp_path, stopping=Stopping(every=1000)))
    users = np.arange(59)  # the last one has no history
    known = data.train.select(users)
    found = model.recommend(users, known, known, 5).items  # each has at least 4 new ones of their kind
    right, wrong = (
        ((found == item)[users % 4 == item % 4].any(1).mean() for item in COLD),
        ((found == item)[users % 4 != item % 4].any(1).mean() for item in COLD),
    )
    assert np.mean(list(right)) > 0.5
    assert np.mean(list(wrong)) < 0.05
