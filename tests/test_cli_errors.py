"""Bad input is one line that says what to do, an exit status other than 0, and never a traceback."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import yaml

RUN = ("run", "--dataset", "tiny", "--models")


def message(done):
    """The one line on standard error."""
    assert done.status not in (0, None)
    assert "Traceback" not in done.err
    assert done.out == ""
    [line] = done.err.strip().splitlines()
    assert line.startswith("error: ")
    return line


def last_line(done):
    """The error that ends a run which had begun to tell its progress."""
    assert done.status not in (0, None)
    assert "Traceback" not in done.err
    line = done.err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rum"], "unknown command 'rum': did you mean 'run'"),
        (["run", "--models", "pop", "--dataset", "tini"], "unknown data set 'tini': did you mean 'tiny'"),
        ([*RUN, "eese"], "unknown model 'eese': did you mean 'ease'"),
        ([*RUN, "ease@papers"], "unknown preset of ease 'papers'"),
        ([*RUN, "ease", "--set", "ease.l3=1"], "unknown config key of ease 'l3': did you mean 'l2'"),
        ([*RUN, "ease", "--set", "ease.l2=much"], "l2 = 'much'"),
        ([*RUN, "ease", "--set", "ease.l2=nan"], "l2 = 'nan': Input should be a finite number"),
        ([*RUN, "ease", "--set", "ease.l2=.inf"], "ease.l2 = inf: give a finite number"),
        ([*RUN, "ease", "--set", "ease.l2=1e999"], "l2 = '1e999': Input should be a finite number"),
        ([*RUN, "ease", "--set", "ease.l2"], "--set takes MODEL.KEY=VALUE"),
        ([*RUN, "ease", "--set", "ease.l2=[1"], "YAML"),
        ([*RUN, "ease", "--set", "ease.l2=1", "--set", "ease.l2=2"], "--set gives ease.l2 twice"),
        ([*RUN, "ease", "--set", "pop.x=1"], "pop, which --models does not name"),
        ([*RUN, "ease", "--protocol", "leave-one-out"], "unknown protocol 'leave-one-out': see random, "),
        ([*RUN, "ease", "--protocol", "randon"], "unknown protocol 'randon': did you mean 'random'"),
        ([*RUN, "pop", "--seeds", "one"], "--seeds takes whole numbers"),
        ([*RUN, "pop", "--seeds", "0-"], "--seeds takes whole numbers such as 1,2,5-7, not '0-'"),
        ([*RUN, "pop", "--seeds", "3-1"], "seed"),
        ([*RUN, "pop", "--seeds", "3-1"], "--seeds takes whole numbers such as 1,2,5-7, not '3-1'"),
        ([*RUN, "pop", "--seeds", "1-99999999999"], "--seeds takes at most 1,000 numbers, not '1-99999999999'"),
        ([*RUN, "pop", "--split-seed", "-1"], "--split-seed"),
        ([*RUN, "pop", "--device", "gpu"], "'gpu' is no device"),
        ([*RUN, "pop", "--k", "0"], "cut-offs must be 1 or more"),
        ([*RUN, "pop", "--k", "99999999999"], "cut-offs must be 10,000 or less"),
        ([*RUN, "pop", "--k", "ten"], "--k takes whole numbers"),
        ([*RUN, ","], "no model was named"),
        ([*RUN, "pop", "--jobs", "0"], "--jobs"),
        ([*RUN, "pop", "--timeout", "soon"], "--timeout"),
        ([*RUN, "pop", "--time-budget", "nan"], "'--time-budget': nan is not a finite number"),
        ([*RUN, "pop", "--memory-limit", "inf"], "'--memory-limit': inf is not a finite number"),
        (
            ["tune", "--models", "ease", "--dataset", "tiny", "--trial-time", "nan"],
            "'--trial-time': nan is not a finite",
        ),
        ([*RUN, "pop", "--history", "future"], "--history"),
        ([*RUN, "pop", "--modles", "x"], "--modles"),
        (["run", "--models", "pop"], "--dataset"),
        ([*RUN, "pop", "--config", "nowhere.yaml"], "nowhere.yaml"),
        ([*RUN, "pop", "--raw-dir", "nowhere"], "nowhere does not exist"),
        (["models", "info", "eese"], "did you mean 'ease'"),
        (["models", "infos"], "infos"),
        (["datasets", "info", "tini"], "did you mean 'tiny'"),
        (["compare", "a", "b", "--dataset", "tiny"], "no results of 'tiny'"),
        (["compare", "a", "b", "--dataset", "tini"], "did you mean 'tiny'"),
        (["leaderboard", "--results", "nowhere"], "no results in nowhere/cells"),
        (["leaderboard", "--results", ".", "--results", "typo"], "typo is no folder: check --results"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_mistake_is_one_line(bench, words, said):
    assert said in message(bench(*words))


@pytest.mark.parametrize("content", ["- a", "ease: 3", "ease: {l2: [", "ease: {l2: .nan}", "\x00"])
def test_bad_config_file(bench, tmp_path, content):
    (tmp_path / "options.yaml").write_text(content)
    message(bench(*RUN, "ease", "--config", tmp_path / "options.yaml"))


def test_infinity_in_a_file_of_a_run_does_not_become_none(bench, tmp_path):
    (tmp_path / "run.yaml").write_text("models: [ease]\ndataset: tiny\noptions: {ease: {l2: .inf}}")
    assert "ease.l2 = inf: give a finite number" in message(bench("run", "--spec", tmp_path / "run.yaml"))


@pytest.mark.parametrize(
    "words", [(*RUN, "pop"), ("leaderboard",), ("compare", "a", "b", "--dataset", "tiny")], ids=lambda w: w[0]
)
@pytest.mark.parametrize("place", ["results", "results/cells"])
def test_results_folder_that_cannot_be_read(bench, tmp_path, words, place):
    """A file stands where a folder should be, which stops even the super-user."""
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    assert "results" in last_line(bench(*words, "--results", tmp_path / "results"))


@pytest.fixture
def damaged(bench, tmp_path):
    """The path of one of two results, cut off."""
    bench(*RUN, "pop,random", "--results", tmp_path)
    path = next(path for path in tmp_path.glob("cells/*/result.json") if '"model": "random"' in path.read_text())
    path.write_text(path.read_text()[:100])
    return path


def test_damaged_result_is_named_and_left_out_of_the_table(bench, tmp_path, damaged):
    done = bench("leaderboard", "--results", tmp_path)
    assert done.status == 0
    assert f"left out: {damaged} is not a valid result" in done.err
    assert "pop" in done.out
    assert "random  " not in done.out
    done = bench("compare", "pop", "random", "--dataset", "tiny", "--results", tmp_path)
    assert f"left out: {damaged}" in done.err
    assert "unknown row of tiny 'random'" in done.err.splitlines()[-1]


def test_damaged_result_is_run_again(bench, tmp_path, damaged):
    done = bench(*RUN, "pop,random", "--results", tmp_path)
    assert done.status == 0
    assert done.err.count("already there") == 1
    assert json.loads(damaged.read_text())["status"] == "finished"


def test_damaged_per_user_file_is_named(bench, tmp_path):
    bench(*RUN, "pop,random", "--results", tmp_path)
    path = min(tmp_path.glob("cells/*/per_user.parquet"))
    path.write_bytes(path.read_bytes()[:50])
    assert str(path) in message(bench("compare", "pop", "random", "--dataset", "tiny", "--results", tmp_path))


@pytest.mark.parametrize(("a", "said"), [("popp", "did you mean 'pop'"), ("ease@x", "unknown row")])
def test_compare_of_an_unknown_row(bench, tmp_path, a, said):
    bench(*RUN, "pop", "--results", tmp_path)
    assert said in message(bench("compare", a, "pop", "--dataset", "tiny", "--results", tmp_path))


def test_compare_of_a_row_that_failed(bench, tmp_path):
    bench(*RUN, "random", "--results", tmp_path)
    bench(*RUN, "pop", "--timeout", "0.001", "--results", tmp_path)
    done = bench("compare", "random", "pop", "--dataset", "tiny", "--results", tmp_path)
    assert "'pop' failed on tiny: 'bench leaderboard' says why" in message(done)


def test_compare_at_a_cut_off_that_was_not_measured(bench, tmp_path):
    bench(*RUN, "pop,random", "--results", tmp_path)
    done = bench("compare", "pop", "random", "--dataset", "tiny", "--k", "7", "--results", tmp_path)
    assert "no metric at 7" in message(done)


def test_missing_raw_files_are_named(bench, tmp_path):
    (tmp_path / "raw").mkdir()
    line = message(bench(*RUN, "pop", "--raw-dir", tmp_path / "raw"))
    assert "reviews_tiny.json.gz" in line
    assert str(tmp_path / "raw") in line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"long_tail": {"rule": "least-active-share", "value": 5}}, "value 5 is no share of users"),
        ({"long_tail": {"rule": "train-at-most", "value": 0.5}}, "value 0.5 is no number of interactions"),
        ({"filters": {"k_core": -2}}, "k_core"),
        ({"options": {"separator": ";"}}, "'mine': options of its reader 'table': got an unexpected keyword"),
        (
            {"options": {"encoding": "utf-16"}},
            "rows.csv is not utf-16 (UTF-16 stream does not start with BOM): give its encoding",
        ),
    ],
    ids=str,
)
def test_bad_value_in_a_card_is_one_line(bench, tmp_path, changes, said):
    (tmp_path / "rows.csv").write_text("user,item\n" + "".join(f"{u},{i}\n" for u in range(9) for i in range(9)))
    source = {"reader": "table", "files": {"interactions": {"name": str(tmp_path / "rows.csv")}}}
    source["options"] = {"columns": {"user": "user", "item": "item"}, **changes.pop("options", {})}
    card = {"mine": {"title": "Mine", "sources": [source], **changes}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(card))
    done = bench("run", "--models", "pop", "--dataset", tmp_path / "mine.yaml")
    assert said in last_line(done)


def test_raw_file_cut_in_half(bench, tmp_path, tiny):
    shutil.copytree(tiny.raw, tmp_path / "raw")
    path = tmp_path / "raw" / "reviews_tiny.json"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = bench("datasets", "prepare", "tiny", "--raw-dir", tmp_path / "raw")
    assert done.status == 0  # a text file has no end mark: its last, broken line is counted
    assert "1  review lines that are no JSON" in done.out


def test_full_disk_while_data_is_prepared(bench, new_cache, tmp_path, monkeypatch):
    def full(*arguments, **choices):
        raise OSError(errno.ENOSPC, "No space left on device", str(new_cache))

    monkeypatch.setattr("bench.data.prepare.save_interactions", full)
    assert "No space left on device" in message(bench(*RUN, "pop", "--results", tmp_path))
    assert list((new_cache / "datasets").iterdir()) == []


def test_full_disk_while_a_cell_is_stored_keeps_the_others(bench, tmp_path, monkeypatch):
    bench(*RUN, "pop", "--results", tmp_path)
    write = Path.write_text

    def full(self, *arguments, **choices):
        if self.name.startswith(".result.json"):
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, *arguments, **choices)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        assert "the disk is full" in last_line(bench(*RUN, "pop,random", "--results", tmp_path))
    assert len(list(tmp_path.glob("cells/*/result.json"))) == 1
    assert bench(*RUN, "pop,random", "--results", tmp_path).status == 0
    assert len(list(tmp_path.glob("cells/*/result.json"))) == 2


def test_debug_shows_the_traceback(start_bench):
    done = start_bench("--debug", *RUN, "eese")
    _, err = done.communicate(timeout=60)
    assert done.returncode == 1
    assert "Traceback" in err
    assert "UnknownName: unknown model 'eese'" in err


def test_failed_model_is_a_row_and_an_exit_status(bench, tmp_path):
    done = bench(*RUN, "pop,ease", "--set", "ease.l2=1e39", "--results", tmp_path)
    assert done.status == 1
    assert "ease failed: ValueError: scores of 48 of 48 users are not numbers (NaN): the model diverged" in done.out
    assert "1 of 2 cells failed" in done.err
    assert "Traceback" not in done.err + done.out
    [table] = (tmp_path / "leaderboards").glob("*.json")
    assert [row["status"] for row in json.loads(table.read_text())["rows"]] == ["finished", "failed"]
