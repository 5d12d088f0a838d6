"""What a first-time user does in an order that nobody planned."""

import sys
import textwrap

import pandas as pd
import pytest

import bench
from bench.data.prepare import prepare
from bench.data.protocol import protocol
from bench.data.split import split
from bench.errors import BenchError, PluginError
from bench.plugins import check_module, installed, life_cycle
from bench.runs.store import Store


def test_a_cut_in_time_needs_times(own_card, new_cache):
    card = own_card([(user, item, 0) for user in range(4) for item in range(5)])
    with pytest.raises(BenchError, match="has no times"):
        split(prepare(card), protocol("temporal"))


def test_groups_and_their_users_survive_another_request(tiny_cards, tmp_path):
    bench.run("pop", "tiny", results=tmp_path, groups=["quartiles"])
    [first] = Store(tmp_path).results()
    frame = bench.run("pop", "tiny", results=tmp_path, groups=["popularity"], ks=[3])
    [second] = Store(tmp_path).results()
    assert {"Q1", "popular items", "all"} <= set(second.groups)
    assert second.groups["Q1"].metrics["ndcg@10"] == first.groups["Q1"].metrics["ndcg@10"]
    assert "Q1/ndcg@10" in frame.columns
    per_user = pd.read_parquet(tmp_path / "cells" / second.cell_id / "per_user.parquet")
    assert {"Q1/ndcg@10", "popular items/ndcg@3", "all/ndcg@10"} <= set(per_user.columns)


@pytest.mark.parametrize(
    "source",
    [
        "@hookimpl\ndef bench_cell_finished(cell, outcome): ...",  # there is no such argument
        "@hookimpl\ndef bench_cel_finished(cell): ...",  # there is no such hook
    ],
)
def test_tracker_that_does_not_fit_the_hooks_is_told_and_left_out(tmp_path, monkeypatch, source):
    (tmp_path / "misfit.py").write_text(f"from bench import hookimpl\n{source}\n")
    info = tmp_path / "misfit-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: misfit\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        textwrap.dedent("""\
        [bench.plugins]
        misfit = misfit
    """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("BENCH_PLUGINS", "misfit")
    monkeypatch.delitem(sys.modules, "misfit", raising=False)
    manager, [broken] = life_cycle()
    assert "misfit" in str(broken)
    assert not manager.get_plugins()
    [plugin] = installed("bench.plugins")
    with pytest.raises(PluginError, match="misfit"):
        check_module(plugin)


@pytest.mark.parametrize(("one", "other"), [("kfold", "kfold:5"), ("loo", "loo:1")])
def test_a_protocol_has_one_name(one, other):
    assert protocol(one) == protocol(other)
