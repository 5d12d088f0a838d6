"""Searches, against literal loops over all titles or all strings."""

import itertools

import numpy as np
import pytest
import torch
from bench_titles.catalogue import Catalogue
from bench_titles.search import Prompts, prompts_of, search
from bench_titles.trie import Anything, Trie

from bench.testing import interactions_from

HISTORIES = [[0, 1, 4, 8], [], [5], [9, 3], [2, 5, 7, 1, 3]]
NOTHING = [[]] * len(HISTORIES)


def of_user(grounder, histories, excluded, num_beams):
    """Titles and their log-probabilities, user by user."""
    n = len(grounder.catalogue.titles)
    found = {row: [] for row in range(len(histories))}
    for users, titles, scores in grounder.titles(
        interactions_from(histories, n), interactions_from(excluded, n), num_beams
    ):
        for user, title, score in zip(users.tolist(), titles.tolist(), scores.tolist(), strict=True):
            found[user].append((title, score))
    return found


@pytest.mark.parametrize("loss", ["free", "trie"])
def test_with_enough_beams_the_trie_gives_the_log_probabilities_of_all_titles(tiny, loss):
    grounder = tiny.grounder(loss=loss)
    n = len(grounder.catalogue)
    assert n == 7  # of ten items two share one, two another, and one has none
    for user, found in of_user(grounder, HISTORIES, NOTHING, n).items():
        expected = tiny.titles(grounder, HISTORIES[user])
        assert [title for title, _ in found] == np.argsort(-np.array(expected)).tolist()
        scores = [score for _, score in found]
        np.testing.assert_allclose(scores, sorted(expected, reverse=True), rtol=1e-4)
        assert (abs(np.exp(scores).sum() - 1) < 1e-5) == (loss == "trie")


def test_more_beams_than_titles_change_nothing(tiny):
    grounder = tiny.grounder()
    assert of_user(grounder, HISTORIES, NOTHING, 7) == of_user(grounder, HISTORIES, NOTHING, 50)


def test_titles_without_an_allowed_item_are_not_written_and_take_no_beam(tiny):
    grounder = tiny.grounder()
    titles = grounder.catalogue.titles
    excluded = [[0, 1, 2], [0, 4, 7], list(range(10)), [7, 8], []]
    gone = [[titles[1], titles[2]], [titles[0]], list(range(7)), [titles[7]], []]
    for user, found in of_user(grounder, HISTORIES, excluded, 3).items():
        probable = np.array(tiny.titles(grounder, HISTORIES[user]))
        probable[gone[user]] = -np.inf
        assert not {title for title, _ in found} & set(gone[user])
        assert len(found) == min(3, 7 - len(gone[user]))
    every = of_user(grounder, HISTORIES, excluded, 7)
    for user, found in every.items():
        probable = np.array(tiny.titles(grounder, HISTORIES[user]))
        probable[gone[user]] = -np.inf
        order = [title for title in np.argsort(-probable) if probable[title] > -np.inf]
        assert [title for title, _ in found] == order


def test_what_beams_find_is_the_best_of_what_they_followed(tiny):
    """A beam search by hand: at each depth, the whole titles and beginnings with the highest log-probabilities."""
    grounder, num_beams = tiny.grounder(seed=4), 2
    end, catalogue = grounder.writer.end, grounder.catalogue
    rows = [(*catalogue.tokens_of(title), end) for title in range(len(catalogue))]
    for user, found in of_user(grounder, HISTORIES, NOTHING, num_beams).items():
        kept = [()]
        for _ in range(max(map(len, rows))):
            longer = {row[: len(one) + 1] for one in kept for row in rows if row[: len(one)] == one and row != one}
            longer |= {one for one in kept if one in rows}
            prompt = tiny.prompt(grounder, HISTORIES[user])
            score = {one: tiny.log_probability(grounder, prompt, one) for one in longer}
            kept = sorted(longer, key=lambda one: -score[one])[:num_beams]
        assert [title for title, _ in found] == [rows.index(one) for one in kept]


def test_lists_of_users_do_not_depend_on_others(tiny):
    grounder = tiny.grounder()
    together = of_user(grounder, HISTORIES, NOTHING, 4)
    for user, history in enumerate(HISTORIES):
        alone = of_user(grounder, [history], [[]], 4)[0]
        assert [title for title, _ in alone] == [title for title, _ in together[user]]
        np.testing.assert_allclose([s for _, s in alone], [s for _, s in together[user]], rtol=1e-5)


def test_free_titles_are_the_most_probable_of_all_strings(tiny):
    """A vocabulary of 5, titles of at most 3 tokens: 4 + 16 + 64 strings, all of which are followed."""
    grounder = tiny.grounder()
    model = grounder.writer.model
    model.set_input_embeddings(torch.nn.Embedding.from_pretrained(model.get_input_embeddings().weight[:5].detach()))
    model.lm_head = torch.nn.Linear(16, 5, bias=False)
    torch.nn.init.normal_(model.lm_head.weight, generator=torch.Generator().manual_seed(1))
    end = 0
    grounder.writer.end = end
    prompts = Prompts(np.array([[end, 3, end], [end, end, end]]), np.array([[True, True, True], [False, False, True]]))
    with torch.inference_mode():
        found = search(grounder.writer, prompts, Anything(end, 3, 100), 100)
    strings = [one for n in (1, 2, 3) for one in itertools.product(range(1, 5), repeat=n)]
    for user, before in enumerate([[end, 3, end], [end]]):
        mine = found.where(found.users == user)
        assert len(mine.users) == len(strings)
        score = {}
        for one in strings:
            ids, total = list(before), 0.0
            for token in (*one, end):
                with torch.no_grad():
                    total += float(torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0, -1], 0)[token])
                ids.append(token)
            score[one] = total
        written = [tuple(t for t in row if t > 0) for row in mine.tokens.tolist()]
        assert written == sorted(strings, key=lambda one: -score[one])
        np.testing.assert_allclose(mine.scores, sorted(score.values(), reverse=True), rtol=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_trie_holds_each_title_once_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    rows = sorted({tuple(rng.integers(1, 4, rng.integers(1, 5)).tolist()) for _ in range(12)})
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    ids = np.array([token for row in rows for token in row])
    trie = Trie(Catalogue(ids, indptr, np.arange(len(rows)), np.arange(len(rows)), []), end=0)
    found, open_nodes = [], [(0, ())]
    while open_nodes:
        node, path = open_nodes.pop()
        below = [row for row in rows if (*row, 0)[: len(path)] == path]
        assert rows[trie.lows[node] : trie.highs[node]] == below
        if trie.leaf[node]:
            found.append(path)
        edges = range(trie.indptr[node], trie.indptr[node + 1])
        open_nodes += [(edge + 1, (*path, int(trie.tokens[edge]))) for edge in edges]
    assert sorted(found) == [(*row, 0) for row in rows]


def test_prompts_are_the_latest_titles_with_their_ends_at_the_end_of_the_row():
    tokens, ends = np.array([5, 6, 7, 8, 9]), np.array([0, 2, 3, 5])  # titles 56, 7 and 89
    found = prompts_of(np.array([0, 2, 2, 3]), np.array([0, 2, 1]), tokens, ends, end=1)
    assert found.ids.tolist() == [[1, 5, 6, 1, 8, 9, 1], [1] * 7, [1, 1, 1, 1, 1, 7, 1]]
    assert found.mask.sum(axis=1).tolist() == [7, 1, 3]
    assert found.mask[:, -1].all()
    assert (np.diff(found.mask.astype(int), axis=1) >= 0).all()
