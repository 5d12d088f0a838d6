"""Pieces of histories, and the loss against a loop over tokens."""

import itertools

import numpy as np
import pytest
import torch
from bench_titles.training import Pieces, Training
from bench_torchkit.trainer import Place

from bench.testing import interactions_from

ROWS = [[1, 2, 3, 4, 5, 6, 7], [], [8], [9, 10, 11], [12, 13]]
INDPTR = np.concatenate([[0], np.cumsum([len(row) for row in ROWS])])
TITLES = np.array([title for row in ROWS for title in row])


def pieces_of(batches):
    return [titles[a:b].tolist() for indptr, titles in batches for a, b in itertools.pairwise(indptr)]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("shuffled", [False, True])
def test_every_title_is_once_in_a_piece_of_an_epoch(most, shuffled):
    cut = Pieces(INDPTR, TITLES, most, 2, shuffled)
    seen = set()
    for epoch in range(20):
        batches = cut.draw(np.random.default_rng(epoch))
        found = pieces_of(batches)
        assert len(batches) == cut.batches
        assert max(len(indptr) - 1 for indptr, _ in batches) <= 2
        assert sorted(title for piece in found for title in piece) == sorted(TITLES.tolist())
        assert max(map(len, found)) <= most
        seen |= {tuple(piece) for piece in found}
        joined = [tuple(row) for row in ROWS]
        if shuffled:
            assert all(any(set(piece) <= set(row) for row in joined) for piece in found)
        else:
            assert all(
                any(tuple(piece) == row[i : i + len(piece)] for row in joined for i in range(7)) for piece in found
            )
    if most == 3 and not shuffled:  # cut elsewhere in other epochs
        assert {(1,), (1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 6)} <= seen


def test_no_batch_is_empty():
    """An epoch may have fewer pieces than the most that another could have."""
    for epoch in range(20):
        for indptr, titles in Pieces(INDPTR, TITLES, 3, 1, False).draw(np.random.default_rng(epoch)):
            assert len(indptr) == 2
            assert len(titles)
    assert Pieces(np.zeros(3, np.int64), TITLES[:0], 3, 1, False).draw(np.random.default_rng(0)) == []


def test_short_rows_are_not_cut():
    for epoch in range(5):
        found = pieces_of(Pieces(INDPTR, TITLES, 3, 4, False).draw(np.random.default_rng(epoch)))
        assert [8] in found
        assert [9, 10, 11] in found
        assert [12, 13] in found


def training(tiny, **changes):
    grounder = tiny.grounder(**changes)
    history = interactions_from([[0, 1, 4, 8, 9, 5], [], [2, 3], [7]], 10)
    indptr, titles = grounder.catalogue.of_histories(history)
    cut = Pieces(indptr, titles, 3, 3, False)
    return Training(grounder.config, grounder.writer, grounder.catalogue, grounder.trie, cut, 1), grounder


@pytest.mark.parametrize("loss", ["free", "trie"])
def test_the_loss_is_the_mean_over_tokens_of_what_a_loop_finds(tiny, loss):
    task, grounder = training(tiny, loss=loss)
    end, checked = grounder.writer.end, 0
    for batch in task.batches(Place(0, 1)):
        total, n = 0.0, 0
        for ids, mask in zip(batch.prompts.ids, batch.prompts.mask, strict=True):
            row = ids[mask].tolist()
            assert row[0] == row[-1] == end
            n += len(row) - 1
            ends = [at for at, token in enumerate(row) if token == end]
            for before, behind in itertools.pairwise(ends):
                total -= tiny.log_probability(grounder, row[: before + 1], row[before + 1 : behind + 1])
        with torch.no_grad():
            assert float(task.losses(batch, Place(0, 1))["total"]) == pytest.approx(total / n, rel=1e-5)
        checked += 1
    assert checked == task.stages[0].steps


def test_no_state_sees_a_later_token_or_another_history(tiny):
    grounder = tiny.grounder()
    ids = torch.tensor([[0, 5, 6, 0, 7, 8, 0], [0, 9, 0, 11, 12, 0, 0]])
    with torch.no_grad():
        before = grounder.writer.states(ids, use_cache=False)
        changed = ids.clone()
        changed[0, 4:] += 1
        after = grounder.writer.states(changed, use_cache=False)
    torch.testing.assert_close(after[0, :4], before[0, :4])
    torch.testing.assert_close(after[1], before[1])
    assert not torch.allclose(after[0, 4:], before[0, 4:])


def test_an_epoch_is_drawn_from_its_number_and_the_seed(tiny):
    task, _ = training(tiny)
    first = [batch.prompts.ids.tolist() for batch in task.batches(Place(0, 1))]
    assert first == [batch.prompts.ids.tolist() for batch in training(tiny)[0].batches(Place(0, 1))]
    assert task.seed(Place(0, 1)) != task.seed(Place(0, 2))
