"""Life-cycle plugins that print, exit, fail or are slow harm nothing but themselves."""

import json
import os
import sys
import textwrap

import pytest

from bench.plugins import guarded
from bench.runs.hooks import LifeCycle

RUN = ("run", "--dataset", "tiny", "--models", "pop,random")


@pytest.fixture
def install(tmp_path):
    """Install plugins, as pip would leave them: ``install(group, {name: source})`` returns their folder."""

    def write(group="bench.plugins", distribution="trackers", version="1.0", **sources):
        site = tmp_path / "site"
        info = site / f"{distribution}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        entries = [f"{name.replace('_', '-')} = {name}" for name in sources]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *entries, ""]))
        for name, source in sources.items():
            (site / f"{name}.py").write_text(textwrap.dedent(source))
        return site

    return write


PRINTS = """
    import os, subprocess, sys
    from bench import hookimpl
    print("tracker 1.2 ready")
    os.write(1, b"below python\\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"])
    kept = sys.stdout

    @hookimpl
    def bench_run_started(cells): print("begins")

    @hookimpl
    def bench_event(cell, event): print("event", file=kept)

    @hookimpl
    def bench_cell_finished(cell, result): os.write(1, b"logged\\n")
"""
EXITS = """
    import sys
    from bench import hookimpl

    @hookimpl
    def bench_event(cell, event): sys.exit(0)

    @hookimpl
    def bench_cell_finished(cell, result): raise SystemExit("no more")
"""
FAILS = """
    from bench import hookimpl

    class Odd(BaseException): ...

    @hookimpl
    def bench_event(cell, event): raise Odd("two\\nlines")

    @hookimpl
    def bench_run_started(cells): cells.clear()
"""
EXITS_AT_ONCE = "raise SystemExit(3)"


def test_run_goes_on_and_json_is_alone_on_standard_output(start_bench, install, tmp_path):
    site = install(prints=PRINTS, exits=EXITS, fails=FAILS, at_once=EXITS_AT_ONCE)
    process = start_bench(*RUN, "--results", tmp_path / "r", "--json", environment={"PYTHONPATH": str(site)})
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert {row["model"]: row["status"] for row in json.loads(out)["rows"]} == {"pop": "finished", "random": "finished"}
    for printed in ("tracker 1.2 ready", "below python", "from a child", "begins", "event", "logged"):
        assert printed in err.splitlines()
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    for plugin, hook, what in (
        ("exits", "bench_event", "failed: SystemExit: 0"),
        ("exits", "bench_cell_finished", "failed: SystemExit: no more"),
        ("fails", "bench_event", "failed: Odd: two lines"),
        ("fails", "bench_run_started", "failed: AttributeError"),
    ):
        [line] = [line for line in warnings if f"plugin '{plugin}' in {hook}" in line]
        assert what in line
    [line] = [line for line in warnings if "at-once" in line]
    assert "cannot be imported: SystemExit: 3" in line
    assert len(warnings) == 5


def test_slow_hook_is_named_once(install, monkeypatch, caplog):
    site = install(
        slow="""
        import time
        from bench import hookimpl

        @hookimpl
        def bench_event(cell, event): time.sleep(0.02)
    """
    )
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("BENCH_PLUGINS", "trackers")
    monkeypatch.setattr("bench.runs.hooks.SLOW", 0.01)
    hooks = LifeCycle()
    for _ in range(3):
        hooks.tell("bench_event", cell=None, event=None)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("warning: plugin 'slow' in bench_event (told once): slow, the run waited 0.0 s for it")
    sys.modules.pop("slow")


def test_an_interrupt_is_none_of_a_plugins_errors():
    with pytest.raises(KeyboardInterrupt), guarded("it failed"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("closed", ["out", "err"])
def test_output_is_put_aside_where_there_is_none(closed, install):
    """As under cron and daemons that close descriptors."""
    site = install(prints=PRINTS)
    words = [sys.executable, "-c", f"""
import os, sys
os.close({1 if closed == 'out' else 2}); sys.path.insert(0, {str(site)!r})
from bench.runs.hooks import LifeCycle
LifeCycle().tell("bench_run_started", cells=[])
"""]  # fmt: skip
    assert os.spawnve(os.P_WAIT, words[0], words, {**os.environ, "BENCH_PLUGINS": "trackers"}) == 0


SOURCE = """
    import sys
    from bench import hookimpl

    @hookimpl
    def bench_source(name):
        print("asked")
        if name == "bad":
            sys.exit("no such thing")
        return read if name == "mine" else None

    def read(files, **options):
        print("reads")
        raise ValueError("half a file")
"""


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        ("bad", "failed in bench_source: SystemExit: no such thing"),
        ("mine", "the reader of 'mine' failed: ValueError: half a file"),
    ],
)
def test_reader_that_fails_is_one_line(start_bench, install, tmp_path, reader, said):
    site = install(source=SOURCE)
    (tmp_path / "i.csv").write_text("x\n")
    card = {"d": {"title": "D", "sources": [{"reader": reader, "files": {"x": {"name": str(tmp_path / "i.csv")}}}]}}
    (tmp_path / "d.yaml").write_text(json.dumps(card))
    process = start_bench("datasets", "prepare", tmp_path / "d.yaml", "--json", environment={"PYTHONPATH": str(site)})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert said in err.splitlines()[-1]


@pytest.mark.slow
def test_two_distributions_with_one_name_are_two_broken_rows_and_stop_nothing_else(start_bench, install, tmp_path):
    install("bench.models", "first", pop="")
    site = install("bench.models", "second", pop="")
    environment = {"PYTHONPATH": str(site), "BENCH_PLUGINS": "first,second,recsys-bench-classic"}

    def call(*words):
        process = start_bench(*words, environment=environment)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        return process.returncode, out, err

    for words in (("models", "list"), ("plugin", "list")):
        status, out, err = call(*words, "--json")
        rows = [(row["name"], row.get("problem", row.get("error"))) for row in json.loads(out)]
        problems = [problem for name, problem in rows if name == "pop"]
        assert len(problems) == 3
        assert all("uninstall one of them" in problem for problem in problems)
        assert dict(rows)["ease"] is None
        assert status == 0
    status, out, _ = call("doctor", "--json", "--results", tmp_path)
    states = [(line["state"], line["what"]) for line in json.loads(out)]
    assert status == 1
    assert states.count(("bad", "plugin pop")) == 3
    assert ("ok", "plugin ease") in states
    status, _, err = call("run", "--dataset", "tiny", "--models", "ease", "--results", tmp_path)
    assert status == 0
    status, _, err = call("run", "--dataset", "tiny", "--models", "pop", "--results", tmp_path)
    assert status == 1
    assert err.splitlines()[-1].startswith("error: 'pop' comes from ")


def test_one_of_two_that_share_a_name_is_not_taken_for_the_other(install, monkeypatch):
    """Though only one of them is allowed."""
    from bench.errors import PluginError
    from bench.plugins import load_model

    install("bench.models", "first", toy="")
    monkeypatch.syspath_prepend(install("bench.models", "second", toy=""))
    monkeypatch.setenv("BENCH_PLUGINS", "second")
    with pytest.raises(PluginError, match="from first and from second"):
        load_model("toy")


TRACKER = """
    from bench import hookimpl
    from bench.messages.events import Kept

    @hookimpl
    def bench_run_started(cells, results):
        global file
        file = (results / "told").open("a")
        print("started", *[cell.id for cell in cells], file=file)

    @hookimpl
    def bench_event(cell, event):
        if isinstance(event, Kept): print("kept", event.result.cell_id, event.result.status, file=file)

    @hookimpl
    def bench_cell_finished(cell, result): print("finished", cell.id, result.status, file=file)

    @hookimpl
    def bench_run_finished(results): file.close()
"""


def test_tracker_is_told_when_it_is_named_and_of_what_is_there(start_bench, install, tmp_path):
    site = install("bench.trackers", notes=TRACKER, broken="import not_there_at_all", other=EXITS_AT_ONCE)
    results = tmp_path / "r"

    def call(*words, **variables):
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        process = start_bench(*words, "--results", results, environment={"PYTHONPATH": path, **variables})
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        return process.returncode, out, err.splitlines()

    def told():
        lines = [line.split() for line in (results / "told").read_text().splitlines()]
        (results / "told").unlink()
        return lines

    assert call(*RUN, "--track", "nots")[2][-1] == (
        "error: unknown tracker 'nots': did you mean 'notes'? see 'bench plugin list'"
    )
    status, _, err = call(*RUN, "--track", "notes,broken")
    assert (status, list(results.glob("cells/*/result.json"))) == (1, [])  # told before anything runs
    assert err[-1].startswith("error: plugin 'broken' of trackers cannot be imported: ModuleNotFoundError")
    assert call("run", "--dataset", "tiny", "--models", "pop")[0] == 0
    assert not (results / "told").exists()
    [pop] = [path.name for path in results.glob("cells/*")]
    assert call(*RUN, BENCH_TRACK="notes")[0] == 0
    [random] = [path.name for path in results.glob("cells/*") if path.name != pop]
    assert told() == [["started", random], ["kept", pop, "finished"], ["finished", random, "finished"]]
    status, out, _ = call("track", "notes", "--dataset", "tiny")
    assert (status, out) == (0, f"2 results of {results} told to notes\n")
    first, *others = told()
    assert first == ["started"]
    assert sorted(others) == sorted(["kept", one, "finished"] for one in (pop, random))
    assert call("track", "notes", "--dataset", "none")[2] == [
        f"error: {results} has no results of none: see 'bench results list', or give another --results"
    ]
