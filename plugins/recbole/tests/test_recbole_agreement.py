"""The wrapped models against RecBole used plainly, and the benchmark's rules against RecBole's."""

import os
import tracemalloc

import numpy as np
import pytest
import torch
from bench_recbole.dataset import GeneralData, SequentialData, histories, prefixes
from bench_recbole.models import BPR, BERT4Rec, GRU4Rec
from bench_recbole.scoring import scores
from bench_recbole.setup import build
from bench_recbole.training import get_state, set_state
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.evaluator.collector import DataStruct
from recbole.evaluator.metrics import MAP, MRR, NDCG, Hit, Precision, Recall

from bench import BenchError
from bench.data.splits import ratio_counts
from bench.evaluation import metrics
from bench.plugins import load_model
from bench.testing import LocalContext, block_interactions, interactions_from

DATA = block_interactions()
USERS = np.arange(DATA.train.n_users)
KNOWN = np.flatnonzero(DATA.train.lengths)
"""Users with a history; the others get what is popular."""


def fitted(name, folder, **options):
    made = load_model(name)
    model = made(made.Config(**{"epochs": 3, "train_batch_size": 64, **options}))
    model.fit(DATA.train, DATA.valid, LocalContext(model, DATA, folder))
    return model


@pytest.mark.parametrize("name", ["bpr", "lightgcn", "ngcf", "multivae", "simplex"])
def test_scores_are_those_of_full_sort_predict(name, tmp_path):
    model = fitted(name, tmp_path)
    plain = build(model.recbole_class, model.config, [DATA.train], 9, "cpu").model.eval()
    set_state(plain, get_state(model._built.model))
    nothing = interactions_from([[] for _ in USERS], DATA.train.n_items)
    found = model.recommend(USERS, DATA.train, nothing, DATA.train.n_items)
    with torch.no_grad():
        for user in KNOWN:
            expected = plain.full_sort_predict(Interaction({"user_id": torch.tensor([user + 1])})).view(-1)[1:].numpy()
            np.testing.assert_allclose(found.scores[user], expected[found.items[user]], rtol=1e-5, atol=1e-6)


def test_neumf_ranks_by_the_logit_of_its_prediction(tmp_path):
    model = fitted("neumf", tmp_path)
    nothing = interactions_from([[] for _ in USERS], DATA.train.n_items)
    found = model.recommend(USERS, DATA.train, nothing, DATA.train.n_items)
    pairs = Interaction({
        "user_id": torch.from_numpy(np.repeat(KNOWN, found.items.shape[1]) + 1),
        "item_id": torch.from_numpy(found.items[KNOWN].reshape(-1).astype(np.int64) + 1),
    })  # fmt: skip
    with torch.no_grad():
        expected = model._built.model.eval().predict(pairs).numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-found.scores[KNOWN].reshape(-1))), expected, rtol=1e-5)


def test_autoencoder_reads_the_given_history(tmp_path):
    model = fitted("multivae", tmp_path)
    swapped = USERS[::-1].copy()
    one, other = (model.recommend(users, DATA.train, DATA.valid, 10) for users in (USERS, swapped))
    np.testing.assert_array_equal(one.items, other.items)


def test_sequential_model_reads_the_latest_items_only(tmp_path):
    model = fitted("sasrec", tmp_path, max_seq_length=3)
    nothing = interactions_from([[]], DATA.train.n_items)
    longer, shorter = (interactions_from([row], DATA.train.n_items) for row in ([1, 2, 3, 4, 5], [3, 4, 5]))
    lists = [model.recommend(USERS[:1], history, nothing, 48) for history in (longer, shorter)]
    np.testing.assert_array_equal(lists[0].items, lists[1].items)


@pytest.mark.parametrize("name", ["lightgcn", "ngcf", "recbole:SGL", "recbole:SpectralCF", "recbole:GCMC"])
def test_graph_models_are_built_of_exactly_the_train_pairs(name):
    model = load_model(name)
    built = build(model.recbole_class, model.Config(), [DATA.train], 1, "cpu")
    matrix = built.data.build()[0].inter_matrix(form="coo")
    pairs = set(zip((DATA.train.users + 1).tolist(), (DATA.train.items + 1).tolist(), strict=True))
    assert set(zip(matrix.row.tolist(), matrix.col.tolist(), strict=True)) == pairs
    graph = getattr(built.model, "norm_adj_matrix", None)
    if graph is not None:
        users, items = np.nonzero(graph.to_dense().numpy()[: DATA.train.n_users + 1, DATA.train.n_users + 1 :])
        assert set(zip(users.tolist(), items.tolist(), strict=True)) == pairs


def test_parts_are_sliced_and_never_split_again():
    built = build(BPR.recbole_class, BPR.Config(), [DATA.train, DATA.valid], 1, "cpu")
    assert isinstance(built.data, GeneralData)
    for part, ours in zip(built.data.build(), [DATA.train, DATA.valid, None], strict=True):
        expected = ours.items + 1 if ours else np.zeros(0)
        np.testing.assert_array_equal(part.inter_feat["item_id"].numpy(), expected)


def test_sequences_are_those_of_recbole_augmentation():
    history = interactions_from([[7], [], [3, 1, 2, 5]], 9)
    built = build(GRU4Rec.recbole_class, GRU4Rec.Config(max_seq_length=2), [history], 1, "cpu")
    assert isinstance(built.data, SequentialData)
    rows = built.data.inter_feat
    assert rows["user_id"].tolist() == [3, 3, 3]
    assert rows["item_id"].tolist() == [2, 3, 6]
    assert rows["item_id_list"].tolist() == [[4, 0], [4, 2], [2, 3]]
    assert rows["item_length"].tolist() == [1, 2, 2]
    sequences, lengths = histories(history, 2)
    assert sequences.tolist() == [[8, 0], [0, 0], [3, 6]]
    assert lengths.tolist() == [1, 0, 2]


def test_masked_sequences_hold_their_target():
    """BERT4Rec's loss reads the masked sequence alone."""
    history = interactions_from([[7], [], [3, 1, 2, 5]], 9)
    rows = build(BERT4Rec.recbole_class, BERT4Rec.Config(max_seq_length=3), [history], 1, "cpu").data.inter_feat
    assert rows["user_id"].tolist() == [3, 3, 3]
    assert rows["item_id"].tolist() == [2, 3, 6]
    assert rows["item_id_list"].tolist() == [[4, 2, 0], [4, 2, 3], [2, 3, 6]]
    assert rows["item_length"].tolist() == [2, 3, 3]


@pytest.mark.parametrize(("width", "expected"), [
    (1, [[10], [10], [10]]),
    (3, [[10, 0, 0], [8, 10, 0], [5, 6, 10]]),
    (4, [[10, 0, 0, 0], [8, 10, 0, 0], [4, 5, 6, 10]]),
])  # fmt: skip
def test_the_mask_stands_behind_all_items_of_a_short_history_and_behind_the_latest_of_a_long_one(width, expected):
    history = interactions_from([[], [7], [1, 2, 3, 4, 5]], 9)
    built = build(BERT4Rec.recbole_class, BERT4Rec.Config(max_seq_length=width), [history], 1, "cpu")
    forward, read = built.model.forward, []
    built.model.forward = lambda items: read.extend(items.tolist()) or forward(items)
    assert scores(built, np.arange(3), history).shape == (3, 9)
    assert read == expected  # 10: the mask


def test_sequences_take_little_more_memory_than_they_are_kept_in():
    history = interactions_from([list(range(100))] * 200, 100)
    tracemalloc.start()
    try:
        _, sequences, _ = prefixes(history, 50)
        assert tracemalloc.get_traced_memory()[1] < 1.3 * sequences.numpy().nbytes
    finally:
        tracemalloc.stop()


def test_rows_of_a_single_part_are_not_copied(monkeypatch):
    monkeypatch.setattr(torch, "cat", lambda *_: pytest.fail("a copy"))
    built = build(GRU4Rec.recbole_class, GRU4Rec.Config(), [DATA.train], 1, "cpu")
    assert len(built.data.inter_feat) == len(DATA.train) - (DATA.train.lengths > 0).sum()


def test_split_counts_are_those_of_recbole():
    ratios = [8, 1, 1]
    share = [ratio / sum(ratios) for ratio in ratios]
    lengths = np.arange(1, 2001)
    ends = np.array([Dataset._calcu_split_ids(None, length, share) for length in lengths.tolist()])
    expected = np.diff(np.column_stack([np.zeros(2000, int), ends, lengths]), axis=1)
    np.testing.assert_array_equal(ratio_counts(lengths, ratios), expected)


@pytest.mark.parametrize("seed", range(3))
def test_metrics_are_those_of_recbole(seed):
    rng = np.random.default_rng(seed)
    n_users, n_items, ks = 200, 40, [1, 5, 10, 20]
    lists = np.array([rng.permutation(n_items)[: max(ks)] for _ in range(n_users)], np.int32)
    relevant = interactions_from(
        [rng.permutation(n_items)[: rng.integers(1, 30)].tolist() for _ in range(n_users)], n_items
    )
    hits = np.array([np.isin(lists[u], relevant.select(np.array([u])).items) for u in range(n_users)])
    struct = DataStruct()
    struct.set("rec.topk", torch.from_numpy(np.column_stack([hits, relevant.lengths]).astype(np.int64)))
    options = {"topk": ks, "metric_decimal_place": 12}
    ours = metrics.per_user(lists, relevant, ks)
    for recbole_metric in (NDCG, MRR, Hit, MAP, Precision, Recall):
        for name, value in recbole_metric(options).calculate_metric(struct).items():
            assert ours[name].mean() == pytest.approx(value, abs=1e-6), name


def test_diverged_training_is_an_error_in_one_line(tmp_path):
    with pytest.raises(BenchError, match="loss of LightGCN is not a number in epoch"):
        fitted("lightgcn", tmp_path, reg_weight=1e300, epochs=5)


def test_command_line_and_environment_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bench", "--embedding_size=7", "run"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    model = fitted("bpr", tmp_path)
    assert model._built.model.embedding_size == 64
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
