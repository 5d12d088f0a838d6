"""Models that read times, order or texts: the published checks, and each model against its definition."""

import math
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from bench_classic.graph import Graph, GraphConfig
from bench_classic.recent import Recent, RecentConfig
from bench_classic.textknn import TextKNN, TextKNNConfig
from bench_classic.texts import tf_idf

from bench import DataError, Interactions
from bench.data.visible import union
from bench.testing import LocalContext, MemorySplit, ModelChecks, block_interactions

DAY = 86_400


class TestRecent(ModelChecks):
    name = "recent"


class TestGraph(ModelChecks):
    name = "graph"


class TestGraphWithoutTexts(ModelChecks):
    name = "graph"
    options = {"order": "weight"}


class TestTextKNN(ModelChecks):
    name = "textknn"


TITLES = ["red wine", "red dress", "dry wine, red", "blue dress", "wine glass", "glass", "", "the blue glass", "Wine"]


@pytest.fixture(params=[0, 1, 2])
def data(request):
    """Synthetic interactions some days apart, of items with few words or none."""
    found = block_interactions(n_users=70, n_items=30 + request.param, noise=0.5, seed=request.param)
    rng = np.random.default_rng(request.param)
    days = {name: later(found.load(name), 40 * DAY * (name == "valid"), rng) for name in found.part_names}
    return with_texts(MemorySplit(**days), [TITLES[i * 7 % 9] for i in range(found.train.n_items)])


def later(part, start, rng):
    times = 1_000_000_000 + start + np.concatenate([np.sort(rng.integers(0, 40 * DAY, n)) for n in part.lengths])
    return Interactions(part.indptr, part.items, times.astype(np.int64), part.n_items)


def with_texts(data, texts):
    data.items = pd.DataFrame({"id": data.items["id"], "text": texts})
    return data


def at_once(data):
    """The same data as the harness gives them when their times are not known."""
    parts = [data.load(name) for name in ("train", "valid")]
    return MemorySplit(*(Interactions(p.indptr, p.items, np.zeros(len(p), np.int64), p.n_items) for p in parts))


def fitted(model, data, folder, **choices):
    model.fit(data.train, data.valid, LocalContext(model, data, folder, **choices))
    return model


def rows(interactions):
    """The items of each row as a list, oldest first."""
    bounds = interactions.indptr
    return [interactions.items[bounds[u] : bounds[u + 1]].tolist() for u in range(interactions.n_users)]


# Recent popularity ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("half_life", [0.5, 20.0])
def test_recent_halves_an_interaction_in_each_half_life(data, half_life, tmp_path):
    expected = np.zeros(data.train.n_items)
    latest = max(data.train.times.tolist())
    for item, time in zip(data.train.items.tolist(), data.train.times.tolist(), strict=True):
        expected[item] += 0.5 ** ((latest - time) / DAY / half_life)
    model = fitted(Recent(RecentConfig(half_life=half_life)), data, tmp_path)
    np.testing.assert_allclose(model.counts, expected, rtol=1e-5)


@pytest.mark.parametrize("model", [Recent(RecentConfig()), Graph(GraphConfig())])
def test_data_without_times_are_refused(data, model, tmp_path):
    with pytest.raises(DataError, match="no times"):
        fitted(model, at_once(data), tmp_path)


# Texts ----------------------------------------------------------------------------------------------------------------


def vectors(texts):
    """Tf-idf vectors as mappings from words to weights, by their definition."""
    bags = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    in_texts = Counter(word for bag in bags for word in bag)
    found = []
    for bag in bags:
        weights = {w: (1 + math.log(n)) * math.log((1 + len(texts)) / (1 + in_texts[w])) for w, n in bag.items()}
        length = math.sqrt(sum(value**2 for value in weights.values())) or 1.0
        found.append({word: value / length for word, value in weights.items()})
    return found


def product(one, other):
    return sum(value * other.get(word, 0.0) for word, value in one.items())


def mean(weighted):
    """The weighted sum of vectors, given as pairs of weight and vector; as good as their mean for an order."""
    found = Counter()
    for weight, vector in weighted:
        for word, value in vector.items():
            found[word] += weight * value
    return found


def test_tf_idf_is_its_definition():
    texts = ["a b b", "", "A c", "a, d. d! d", "- -"]
    expected = vectors(texts)
    words = sorted("abcd")
    np.testing.assert_allclose(
        tf_idf(texts).toarray(), [[vector.get(word, 0) for word in words] for vector in expected], atol=1e-6
    )


@pytest.mark.parametrize(("recent", "decay"), [(1, 1.0), (3, 0.5), (100, 0.9)])
def test_textknn_is_the_cosine_to_the_latest_texts(data, recent, decay, tmp_path):
    model = fitted(TextKNN(TextKNNConfig(recent=recent, recency_decay=decay)), data, tmp_path)
    history = union([data.train, data.valid])
    of_items = vectors(data.items["text"])
    expected = np.zeros(history.shape)
    for user, items in enumerate(rows(history)):
        profile = mean((decay**age, of_items[item]) for age, item in enumerate(items[::-1][:recent]))
        length = math.sqrt(product(profile, profile)) or 1.0
        expected[user] = [product(profile, vector) / length for vector in of_items]
    np.testing.assert_allclose(model.score(np.arange(history.n_users), history), expected, atol=1e-5)


def test_words_of_all_fields_count_where_none_is_the_text(data, tmp_path):
    one = fitted(TextKNN(TextKNNConfig()), data, tmp_path / "one").texts
    data.items = pd.DataFrame({"id": data.items["id"], "title": data.items["text"], "brand": ""})
    np.testing.assert_array_equal(
        fitted(TextKNN(TextKNNConfig()), data, tmp_path / "two").texts.toarray(), one.toarray()
    )


@pytest.mark.parametrize("model", [TextKNN(TextKNNConfig()), Graph(GraphConfig(order="text"))])
@pytest.mark.parametrize("columns", [{"text": ""}, {"title": " - "}, {}])
def test_data_without_texts_are_refused(data, model, columns, tmp_path):
    data.items = pd.DataFrame({"id": data.items["id"], **columns})
    with pytest.raises(DataError, match="no item of this data set has a text"):
        fitted(model, data, tmp_path)


# Transition graph -----------------------------------------------------------------------------------------------------


def links(train, config):
    """Weights of the links as nested mappings, by their definition."""
    counts = {}
    for items in rows(train):
        for steps, weight in ((1, 1.0), (2, config.second_step)):
            for one, other in zip(items, items[steps:], strict=False):
                for a, b, times in ((one, other, weight), (other, one, weight * config.backward)):
                    if times:
                        counts.setdefault(a, Counter())[b] += times
    return {
        a: {b: math.log(1 + n) / math.log(1 + max(out.values())) for b, n in out.items()} for a, out in counts.items()
    }


def walked(start, graph, config):
    """What is reached from ``start``, a mapping from items to weights, with all that leads there."""
    found, step = Counter(), Counter(start)
    for hop in range(config.hops):
        step, before = Counter(), step
        for a, weight in before.items():
            for b, link in graph.get(a, {}).items():
                step[b] += weight * link
        for b, weight in step.items():
            found[b] += weight * config.hop_decay**hop
    return found


GRAPHS = [
    GraphConfig(),
    GraphConfig(order="weight", recent=1, backward=0.0),
    GraphConfig(hops=3, hop_decay=0.5, second_step=0.0, text_weight=0.3),
    GraphConfig(hops=1, recent=4, backward=1.0, recency_decay=1.0),
]


@pytest.mark.parametrize("config", GRAPHS)
def test_graph_adds_up_links_and_similarity_of_candidates(data, config, tmp_path):
    model = fitted(Graph(config), data, tmp_path)
    history = union([data.train, data.valid])
    graph, of_items = links(data.train, config), vectors(data.items["text"])
    popularity = np.bincount(data.train.items, minlength=data.train.n_items)
    expected = np.tile(1e-3 * popularity / popularity.max(), (history.n_users, 1))
    for user, items in enumerate(rows(history)):
        start = {item: config.recency_decay**age for age, item in enumerate(items[::-1][: config.recent])}
        profile = mean((weight, of_items[item]) for item, weight in start.items())
        for item, weight in walked(start, graph, config).items():
            if item not in items:
                like = 0 if config.order == "weight" else config.text_weight * product(profile, of_items[item])
                expected[user, item] += 1 + weight + like
    np.testing.assert_allclose(model.score(np.arange(history.n_users), history), expected, rtol=1e-4, atol=1e-6)


def test_graph_goes_by_links_alone_where_no_item_has_a_text(data, tmp_path):
    users = np.arange(data.train.n_users)
    alone = fitted(Graph(GraphConfig(order="weight")), data, tmp_path / "weight").score(users, data.train)
    for number, columns in enumerate(({"text": ""}, {})):
        data.items = pd.DataFrame({"id": data.items["id"], **columns})
        model = fitted(Graph(GraphConfig()), data, tmp_path / str(number))
        np.testing.assert_array_equal(model.score(users, data.train), alone)


def test_text_vectors_are_kept_for_other_cells(data, tmp_path):
    graph = fitted(Graph(GraphConfig()), data, tmp_path / "graph", kept=tmp_path / "kept")
    entries = list((tmp_path / "kept").iterdir())
    knn = fitted(TextKNN(TextKNNConfig()), data, tmp_path / "textknn", kept=tmp_path / "kept")
    assert len(entries) == 1
    assert list((tmp_path / "kept").iterdir()) == entries
    np.testing.assert_array_equal(graph.texts.toarray(), knn.texts.toarray())
