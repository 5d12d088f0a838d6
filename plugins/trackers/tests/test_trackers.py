"""Each tracker is told the same story, and its own reader has to find it."""

import csv
import importlib
import json
import os
import struct
import subprocess
import sys
import time

import pytest
from bench_trackers import table, to_csv

from bench.data.protocol import PROTOCOLS
from bench.files import write_text
from bench.messages.cell import Cell, Result, ValidationRecord
from bench.messages.events import Kept, Started, Validated

TIMES = iter(range(100))


def cell(model, **fields):
    found = {
        "model": model, "preset": "default", "config": {"layers": 2, "sizes": [1, 2], "loss": "=1+1"}, "seed": 1,
        "deterministic": False, "device": "cpu", "code": "c" * 64, "dataset": "tiny", "content": "t",
        "fingerprint": "f" * 64, "protocol": PROTOCOLS["random"],
    }  # fmt: skip
    return Cell(**found | fields)


def result(of, status="finished", scores=(), value=0.25):
    """A result of the cell ``of``, by the validations ``scores``."""
    metrics = {"ndcg@10": value, "hit@10": 2 * value}
    groups = {
        name: {"rule": "some", "members": "m", "n": 4, "metrics": metrics, "errors": {}} for name in ("all", "20+")
    }
    records = [
        ValidationRecord(stage="", epoch=epoch, score=score, improved=True) for epoch, score in enumerate(scores, 1)
    ]
    return Result(
        cell_id=of.id, cell=of, status=status, reason="it broke, ü" if status == "failed" else None,
        created=f"2026-01-01T00:00:{next(TIMES):02}+00:00", groups=groups if status == "finished" else {},
        beyond={"coverage@10": 0.5} if status == "finished" else {}, validations=records,
        phases={"fit": {"seconds": 1.5, "peak_mib": 64.0}}, packages={"python": "3.11.7", "numpy": "2.4.6"},
        plugin={"distribution": "some-plugin", "version": "1.2"},
    )  # fmt: skip


LEARNS, BREAKS, HANGS, OLD = cell("learns"), cell("breaks"), cell("hangs"), cell("-old", seed=2)
LEARNT = result(LEARNS, scores=(0.1, 0.2, 0.15))
BROKE, MENDED = result(BREAKS, "failed"), result(BREAKS, value=0.125)
KEPT = result(OLD, scores=(0.3,), value=0.0625)


def validated(epoch, score):
    return Validated(stage="", epoch=epoch, metric="ndcg@10", score=score, improved=True)


@pytest.fixture(scope="module")
def tell(tmp_path_factory):
    """Tell a tracker of two runs and of stored results; the folder that it wrote to."""

    def told(name, extra=None):
        if extra:
            pytest.importorskip(extra, reason=f"pip install 'recsys-bench-trackers[{name}]'")
        results = tmp_path_factory.mktemp(name)
        hooks = importlib.import_module(f"bench_trackers.to_{name}").hooks
        hooks.bench_run_started(cells=(LEARNS, BREAKS, HANGS), results=results)
        hooks.bench_event(cell=OLD, event=Kept(result=KEPT))
        for one in (LEARNS, BREAKS):  # two cells at a time
            hooks.bench_event(cell=one, event=Started(resumed=False))
        hooks.bench_event(cell=LEARNS, event=validated(1, 0.1))
        hooks.bench_event(cell=LEARNS, event=validated(2, 0.2))
        hooks.bench_cell_finished(cell=LEARNS, result=LEARNT)  # its third validation was never told
        hooks.bench_cell_finished(cell=BREAKS, result=BROKE)
        hooks.bench_event(cell=HANGS, event=Started(resumed=False))
        hooks.bench_run_finished(results=())
        after_one = read(name, results)
        hooks.bench_run_started(cells=(BREAKS,), results=results)
        hooks.bench_event(cell=BREAKS, event=Started(resumed=False))
        hooks.bench_cell_finished(cell=BREAKS, result=MENDED)
        hooks.bench_run_finished(results=())
        for _ in range(2):  # bench track
            hooks.bench_run_started(cells=(), results=results)
            for one in (LEARNT, MENDED, KEPT):
                hooks.bench_event(cell=one.cell, event=Kept(result=one))
            hooks.bench_run_finished(results=())
        return after_one, read(name, results)

    return told


def read(name, results):
    return READERS[name](results / "tracking")


def read_csv(folder):
    def table(file):
        with (folder / file).open(newline="") as rows:
            return list(csv.DictReader(rows))

    return table("cells.csv"), table("validations.csv")


def test_csv(tell):
    (cells, _), (later, validations) = tell("csv")
    assert [row["id"] for row in cells] == [KEPT.cell_id, LEARNT.cell_id, BROKE.cell_id]
    assert [(row["status"], row["reason"]) for row in cells] == [
        ("finished", ""), ("finished", ""), ("failed", "it broke, ü"),
    ]  # fmt: skip
    found = {row["id"]: row for row in later}
    assert len(later) == len(found) == 3
    assert found[BREAKS.id]["status"] == "finished"
    assert float(found[BREAKS.id]["all/ndcg@10"]) == 0.125
    learnt = found[LEARNS.id]
    assert (learnt["model"], learnt["config/layers"], learnt["config/sizes"]) == ("learns", "2", "[1, 2]")
    assert (learnt["20+/hit@10"], learnt["lists/coverage@10"], learnt["fit/seconds"]) == ("0.5", "0.5", "1.5")
    assert learnt["config/loss"] == "'=1+1"  # no formula
    assert found[OLD.id]["model"] == "'-old"
    assert learnt["packages"] == "python==3.11.7 numpy==2.4.6"
    assert [(row["id"], row["epoch"], row["score"]) for row in validations] == [
        (OLD.id, "1", "0.3"), (LEARNS.id, "1", "0.1"), (LEARNS.id, "2", "0.2"), (LEARNS.id, "3", "0.15"),
    ]  # fmt: skip


def test_csv_tables_grow_without_being_rewritten(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(table, "write_text", lambda path, text: written.append(path.name) or write_text(path, text))
    to_csv.hooks.bench_run_started(cells=(), results=tmp_path)
    cells = [cell(f"m{number}") for number in range(4)]
    for one in cells[:2]:
        to_csv.hooks.bench_event(cell=one, event=Kept(result=result(one, scores=(0.1, 0.2))))
    for one in cells[2:]:
        to_csv.hooks.bench_event(cell=one, event=Started(resumed=False))
        to_csv.hooks.bench_event(cell=one, event=validated(1, 0.1))
        to_csv.hooks.bench_cell_finished(cell=one, result=result(one, scores=(0.1, 0.2)))
    assert written == ["validations.csv", "cells.csv"]  # by the first result
    found, validations = read("csv", tmp_path)
    assert [row["id"] for row in found] == [one.id for one in cells]
    assert [(row["id"], row["epoch"]) for row in validations] == [(one.id, epoch) for one in cells for epoch in "12"]
    other = cell("other", config={"width": 8})
    to_csv.hooks.bench_event(cell=other, event=Kept(result=result(other)))
    assert written == ["validations.csv", "cells.csv", "cells.csv"]  # a new column
    assert [row["config/width"] for row in read("csv", tmp_path)[0]] == ["", "", "", "", "8"]


def test_csv_line_that_a_crash_cut_off_counts_for_nothing(tmp_path):
    tracker, path = to_csv.CsvTracker(tmp_path), tmp_path / "validations.csv"
    records = [ValidationRecord(stage='"ü",\n', epoch=epoch, score=0.5, improved=True) for epoch in range(3)]
    tracker.validated(LEARNS, records[:1])
    begin = path.stat().st_size
    tracker.validated(LEARNS, records[1:2])
    data = path.read_bytes()
    for size in range(begin, len(data)):
        path.write_bytes(data[:size])
        (to_csv.CsvTracker(tmp_path) if size % 2 else tracker).validated(LEARNS, records[2:])
        with path.open(newline="", encoding="utf-8") as rows:
            assert [(row["epoch"], row["stage"]) for row in csv.DictReader(rows)] == [
                ("0", records[0].stage), ("2", records[2].stage),
            ]  # fmt: skip


def read_mlflow(folder):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    [experiment] = [one for one in client.search_experiments() if one.name != "Default"]
    runs = client.search_runs([experiment.experiment_id])
    history = {
        run.data.tags["bench.cell"]: [
            (point.step, point.value) for point in client.get_metric_history(run.info.run_id, "validation/ndcg_at_10")
        ]
        for run in runs
    }
    return experiment.name, {run.data.tags["bench.cell"]: run for run in runs}, history, len(runs)


@pytest.mark.slow
def test_mlflow(tell):
    (_, runs, _, _), (experiment, later, history, n) = tell("mlflow", "mlflow")
    assert experiment == "tiny random ffffffff"
    status = {runs[key].info.run_name: runs[key].info.status for key in runs}
    assert status == {
        "learns seed 1": "FINISHED", "breaks seed 1": "FAILED", "hangs seed 1": "KILLED", "-old seed 2": "FINISHED",
    }  # fmt: skip
    assert runs[BREAKS.id].data.tags["bench.reason"] == "it broke, ü"
    assert n == len(later) == 4  # each once
    assert later[BREAKS.id].info.status == "FINISHED"
    assert "bench.reason" not in later[BREAKS.id].data.tags
    learnt = later[LEARNS.id].data
    assert (learnt.params["model"], learnt.params["config/layers"], learnt.params["config/sizes"]) == (
        "learns", "2", "[1, 2]",
    )  # fmt: skip
    assert (learnt.metrics["all/ndcg_at_10"], learnt.metrics["20_/hit_at_10"]) == (0.25, 0.5)
    assert history[LEARNS.id] == [(1, 0.1), (2, 0.2), (3, 0.15)]
    assert history[OLD.id] == [(1, 0.3)]


@pytest.mark.slow
def test_mlflow_experiment_that_was_deleted_is_restored(tmp_path):
    pytest.importorskip("mlflow", reason="pip install 'recsys-bench-trackers[mlflow]'")
    hooks = importlib.import_module("bench_trackers.to_mlflow").hooks
    hooks.bench_run_started(cells=(), results=tmp_path)
    hooks.bench_event(cell=OLD, event=Kept(result=KEPT))
    client = hooks._tracker._client
    [experiment] = [one for one in client.search_experiments() if one.name != "Default"]
    client.delete_experiment(experiment.experiment_id)
    hooks.bench_event(cell=LEARNS, event=Kept(result=LEARNT))
    _, runs, _, n = read_mlflow(tmp_path / "tracking")
    assert set(runs) == {OLD.id, LEARNS.id}
    assert n == 2


def read_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for path in (folder / "tensorboard").iterdir():
        events = EventAccumulator(str(path)).Reload()
        scalars = {
            tag: [(one.step, one.tensor_proto.float_val[0]) for one in events.Tensors(tag)]
            for tag in events.Tags()["tensors"]
            if "@" in tag or tag.startswith("fit")
        }
        texts = {
            tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
            for tag in events.Tags()["tensors"]
            if tag in ("status", "reason")
        }
        found[path.name.rpartition("-")[2]] = path.name, scalars, texts, events.SummaryMetadata
    return found


def test_tensorboard(tell):
    from_one, later = tell("tensorboard", "tensorboard")
    assert set(from_one) == set(later) == {LEARNS.id, BREAKS.id, HANGS.id, OLD.id}
    assert from_one[BREAKS.id][2] == {"status": "failed", "reason": "it broke, ü"}
    name, scalars, texts, metadata = later[LEARNS.id]
    assert name == f"learns_seed_1-{LEARNS.id}"
    assert scalars["validation/ndcg@10"] == [(1, pytest.approx(0.1)), (2, pytest.approx(0.2)), (3, pytest.approx(0.15))]
    assert scalars["all/ndcg@10"] == [(0, 0.25)]
    assert scalars["fit/seconds"] == [(0, 1.5)]
    assert later[BREAKS.id][1]["all/ndcg@10"] == [(0, 0.125)]
    assert later[BREAKS.id][2]["status"] == texts["status"] == "finished"
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    told = HParamsPluginData.FromString(metadata("_hparams_/session_start_info").plugin_data.content)
    assert told.session_start_info.hparams["model"].string_value == "learns"
    assert told.session_start_info.hparams["config/layers"].number_value == 2


def read_wandb(folder):
    """Runs by id. W&B's own process writes the end of a file soon after the run is over."""
    for _ in range(100):
        found = wandb_files(folder)
        if all(exit_codes(records) for runs in found.values() for records in runs):
            break
        time.sleep(0.1)
    return found


def exit_codes(records):
    return [record.exit.exit_code for record in records if record.WhichOneof("record_type") == "exit"]


def wandb_files(folder):
    """Runs by id, in the form of W&B's offline files: a log of LevelDB whose records are protocol buffers."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = {}
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        data, at, part, records = path.read_bytes(), 7, b"", []
        while at < len(data):
            if (left := 2**15 - at % 2**15) < 7:
                at += left
                continue
            _, size, kind = struct.unpack("<IHB", data[at : at + 7])
            part += data[at + 7 : at + 7 + size]
            at += 7 + size
            if kind in (1, 4):  # whole, or the last part
                records.append(Record.FromString(part))
                part = b""
        found.setdefault(path.stem.removeprefix("run-"), []).append(records)
    return found


@pytest.mark.slow
def test_wandb(tell):
    if "WANDB_MODE" in os.environ:
        pytest.skip("WANDB_MODE is set")
    from_one, later = tell("wandb", "wandb")
    each = dict.fromkeys((LEARNS.id, BREAKS.id, HANGS.id, OLD.id), 1)
    assert {key: len(runs) for key, runs in from_one.items()} == each
    assert {key: len(runs) for key, runs in later.items()} == each
    codes = {key: exit_codes(records) for key, [records] in from_one.items()}
    assert codes == {LEARNS.id: [0], BREAKS.id: [1], HANGS.id: [130], OLD.id: [0]}
    [records] = later[LEARNS.id]
    [run] = [record.run for record in records if record.WhichOneof("record_type") == "run"][:1]
    assert (run.run_id, run.display_name) == (LEARNS.id, "learns seed 1")
    config = {one.key: json.loads(one.value_json) for one in run.config.update}
    assert (config["model"], config["config/layers"]) == ("learns", 2)
    history = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    assert [(row["epoch"], row["validation/ndcg@10"]) for row in history] == [(1, 0.1), (2, 0.2), (3, 0.15)]
    assert summary(records)["all/ndcg@10"] == 0.25
    assert summary(from_one[BREAKS.id][0])["reason"] == "it broke, ü"
    assert summary(later[BREAKS.id][0])["all/ndcg@10"] == 0.125


def summary(records):
    return {
        one.key: json.loads(one.value_json)
        for record in records
        if record.WhichOneof("record_type") == "summary"
        for one in record.summary.update
    }


READERS = {"csv": read_csv, "mlflow": read_mlflow, "tensorboard": read_tensorboard, "wandb": read_wandb}


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "wandb"])
def test_package_that_is_missing_is_told_with_the_way_out(name):
    code = f"import sys; sys.modules[{name!r}] = None\nimport bench_trackers.to_{name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = f"its package is not installed: pip install 'recsys-bench-trackers[{name}]'"
    assert done.stderr.splitlines()[-1].endswith(last)


def test_two_runs_share_the_table(tmp_path):
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2]); import test_trackers as t\n"
        "from bench_trackers.to_csv import CsvTracker\n"
        "tracker = CsvTracker(pathlib.Path(sys.argv[1]))\n"
        "for seed in range(int(sys.argv[3]), 20, 2):\n"
        "    one = t.cell('m', seed=seed); tracker.begin(one); tracker.end(one, t.result(one))\n"
    )
    words = [sys.executable, "-c", code, tmp_path, os.path.dirname(__file__)]  # noqa: PTH120
    both = [subprocess.Popen([*words, str(first)]) for first in (0, 1)]
    assert [one.wait() for one in both] == [0, 0]
    with (tmp_path / "cells.csv").open(newline="") as rows:
        assert sorted(int(row["seed"]) for row in csv.DictReader(rows)) == list(range(20))
