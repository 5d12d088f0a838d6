"""A split that was written for RecBole, read by RecBole."""

import numpy as np
import pytest
import yaml
from bench_recbole.compat import patch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation

from bench.messages.spec import RunSpec
from bench.runs.export import export_split
from bench.runs.task import make_task


@pytest.fixture
def task(tmp_path, monkeypatch):
    """A split of 30 users and 20 items, of which RecBole's reader could take the ids for numbers or missing values."""
    monkeypatch.setenv("BENCH_CACHE_DIR", str(tmp_path / "cache"))
    rng = np.random.default_rng(5)
    rows = [(u, i, 10 * u + int(i)) for u in range(30) for i in rng.choice(20, rng.integers(5, 15), replace=False)]
    lines = ["user,item,time", *(f"0{user},i {item},{time}" for user, item, time in rows)]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    source = {
        "reader": "table",
        "files": {"interactions": {"name": str(tmp_path / "rows.csv")}},
        "options": {"columns": {name: name for name in ("user", "item", "time")}},
    }
    card = {"title": "Own", "sources": [source], "filters": {"k_core": 0}, "protocol": "random"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"own": card}))
    return make_task(RunSpec(models=["x"], dataset=str(tmp_path / "own.yaml")))


@pytest.mark.filterwarnings("ignore")  # of RecBole's own use of pandas and torch
def test_recbole_loads_the_parts_as_they_are(task, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["recbole"])
    patch()
    export_split(task, None, tmp_path / "own-split", "recbole", with_test=True)
    options = {
        "data_path": str(tmp_path),
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id"]},
        "use_gpu": False,
        "checkpoint_dir": str(tmp_path),
    }
    config = Config(model="BPR", dataset="own-split", config_dict=options)
    data = create_dataset(config)
    assert (data.user_num - 1, data.item_num - 1) == (task.dataset.n_users, task.dataset.n_items)
    split = task.folds[None].split
    users, items = (texts["id"].tolist() for texts in (task.dataset.user_texts(), task.dataset.item_texts()))
    parts = (split.visible.train, split.visible.valid, split.hidden.test)
    for loader, part in zip(data_preparation(config, data), parts, strict=True):
        found = loader.dataset.inter_feat
        theirs = zip(
            data.id2token("user_id", found["user_id"].numpy()),
            data.id2token("item_id", found["item_id"].numpy()),
            strict=True,
        )
        assert sorted(theirs) == sorted((users[u], items[i]) for u, i in zip(part.users, part.items, strict=True))
        assert len(part) > 0
