"""Cells on a Ray cluster of three nodes on this machine: the results are those of one process, whatever a node does."""

import io
import json
import os
import sys
import tarfile
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kills import outcome

from bench.errors import BenchError, ConfigError
from bench.messages.spec import RunSpec
from bench.runs.plan import make_plan
from bench.runs.store import Store

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

WORDS = ("run", "--dataset", "tiny", "--models", "pop,itemknn,rough-checkpoints,rough-learner", "--seeds", "1-3")


@pytest.fixture(scope="module")
def cluster(rough_site, tmp_path_factory):
    """Three nodes of one CPU each, which find the plugin of the tests and have a cache of their own."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(rough_site), prepend=os.pathsep)
        environment.setenv("BENCH_CACHE_DIR", str(tmp_path_factory.mktemp("nodes")))
        for name in ("BENCH_RAW_DIR", "BENCH_PLUGINS"):
            environment.delenv(name, raising=False)
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        made.others = [made.add_node(num_cpus=1) for _ in range(2)]
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def alone(start_bench, rough_site, tmp_path):
    """What one process makes of it."""
    words = (*WORDS, "--threads", "1", "--results", tmp_path / "alone" / "results")
    process = start_bench(*words, environment={"PYTHONPATH": str(rough_site)})
    assert process.communicate(timeout=120)[0]
    return results(tmp_path / "alone")


def results(folder):
    """All that must be equal."""
    return {name: told for name, told in outcome(folder).items() if name.endswith(("result.json", ".csv", "parquet"))}


@pytest.fixture
def plan(tiny_cards, tmp_path, cluster):
    def make(**fields):
        return make_plan(RunSpec(models=["pop"], dataset="tiny", executor="ray", address=cluster.address, **fields))

    return make


def test_nodes_with_other_code_are_named_before_anything_runs(plan, tmp_path, monkeypatch):
    from bench.runs import on_ray

    planned = plan()
    monkeypatch.setattr(on_ray, "code_hash", lambda plugin: "another" * 9)
    with pytest.raises(ConfigError, match=r"node .* has the code of pop .*, here it is another.*: install the same"):
        on_ray.RayRoom(planned, Store(tmp_path))


def test_what_no_node_can_run_is_refused_with_numbers(plan, tmp_path, make_result):
    from bench.runs.on_ray import RayRoom

    with pytest.raises(ConfigError, match="no node of the cluster has 64 CPUs: give fewer --threads"):
        RayRoom(plan(threads=64), Store(tmp_path))
    planned, store = plan(), Store(tmp_path)
    [cell] = planned.cells
    phases = {name: {"seconds": 1.0, "peak_mib": 2.0**30} for name in ("import", "fit", "recommend")}
    store.write(make_result(**{**dict(cell), "seed": 7}, phases=phases))
    room = RayRoom(planned, store)
    assert "GiB (same config and data, 1 run), the largest node has" in room.refusal(cell)
    assert "needs a GPU" in room.refusal(cell.model_copy(update={"device": "cuda"}))


def test_what_a_worker_left_is_packed_without_following_links(tmp_path, monkeypatch):
    from bench.runs import on_ray

    made, secret, back = tmp_path / "out", tmp_path / "secret", tmp_path / "back"
    (made / "model").mkdir(parents=True)
    secret.write_text("secret")
    (made / "outcome.json").write_text(json.dumps({"a": 1}))
    (made / "model" / "weights").write_bytes(b"\0" * 100)
    (made / "link").symlink_to(secret)
    os.mkfifo(made / "pipe")
    back.mkdir()
    on_ray.unpack(on_ray.packed(made), back)
    assert {str(path.relative_to(back)) for path in back.rglob("*")} == {"outcome.json", "model", "model/weights"}
    monkeypatch.setattr(on_ray, "_LARGEST", 50)
    with pytest.raises(BenchError, match="the worker left more than"):
        on_ray.packed(made)


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../out"])
def test_what_a_node_sends_stays_in_its_folder(tmp_path, name):
    from bench.runs import on_ray

    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    (tmp_path / "in").mkdir()
    with pytest.raises(BenchError, match="which is no file of its own folder"):
        on_ray.unpack(content.getvalue(), tmp_path / "in")
    assert [path.name for path in tmp_path.rglob("*")] == ["in"]


def test_a_node_that_is_lost_takes_nothing_along(cluster, alone, start_bench, rough_site, tmp_path):
    words = (*WORDS, "--executor", "ray", "--address", cluster.address, "--results", tmp_path / "ray" / "results")
    process = start_bench(*words, environment={"PYTHONPATH": str(rough_site)})
    end = time.monotonic() + 120
    while not list((tmp_path / "ray").glob("results/cells/*/result.json")):
        assert time.monotonic() < end, process.communicate(timeout=1)
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    cluster.remove_node(cluster.others.pop(), allow_graceful=False)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert results(tmp_path / "ray") == alone
    assert "ndcg@10" in out
    stored = Store(tmp_path / "ray" / "results").results()
    assert len(stored) == 8
    assert {result.hardware["threads"] for result in stored} == {1}
    assert not list((tmp_path / "ray").glob("results/cells/*/job"))
