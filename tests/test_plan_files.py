"""Plans that are made before anything runs: their hash, their hours, and that what is run is what was planned."""

import contextlib
import json

import pytest
import yaml

from bench.cli.plan import span
from bench.errors import ConfigError
from bench.files import content_hash
from bench.messages.planned import Budget
from bench.messages.spec import RunSpec
from bench.messages.study import Study
from bench.runs.planned import check_studies, costs, make_file, read_file, run_of, write_file
from bench.runs.store import Store
from bench.runs.studies import FOLDER, study_path

ROWS = ("pop", "itemknn", "itemknn@tuned")


def planned(**fields):
    return make_file(RunSpec(models=list(ROWS), dataset="tiny", **fields), Budget(trials=2))


@pytest.fixture
def plan(tiny_cards, tmp_path):
    made, _ = planned()
    write_file(made, tmp_path / "plan.yaml")
    return tmp_path / "plan.yaml"


def test_the_hash_is_that_of_the_content_of_the_file(plan):
    loaded = yaml.safe_load(plan.read_text())
    told = loaded.pop("hash")
    assert told == content_hash(loaded)[:16] == read_file(plan).hash


def test_it_says_rows_spaces_budget_metric_seeds_data_and_protocol(plan):
    loaded = yaml.safe_load(plan.read_text())
    assert list(loaded["rows"]) == loaded["run"]["models"] == list(ROWS)
    assert set(loaded["rows"]["itemknn@tuned"]["space"]) == {"neighbours", "shrink"}
    assert loaded["rows"]["itemknn"]["space"] == {}
    assert loaded["tuning"]["trials"] == 2
    assert (loaded["run"]["stopping"]["metric"], loaded["run"]["seeds"]) == ("ndcg", [1])
    assert (loaded["dataset"], loaded["protocol"]["exclude"]) == ("tiny", "train+valid")


def test_what_is_of_the_machine_is_no_part_of_it(tiny_cards, tmp_path):
    assert planned(jobs=2, threads=1, raw_dir=tiny_cards.raw)[0].content() == planned()[0].content()
    assert planned(seeds=[1, 2])[0].hash != planned()[0].hash


def test_a_plan_is_carried_out_and_the_table_names_it(bench, plan, tmp_path):
    results = tmp_path / "results"
    made = read_file(plan)
    early = bench("run", "--plan", plan, "--results", results)
    assert (
        f"itemknn was not tuned to the end by plan {made.hash}: 'bench tune --plan FILE' with its file does it"
        in early.err
    )
    tuned = bench("tune", "--plan", plan, "--results", results)
    assert tuned.status == 0, tuned.err
    assert f"bench run --plan {plan}" in tuned.out
    [study] = [Study.model_validate_json(path.read_bytes()) for path in (results / FOLDER).glob("*.json")]
    assert (study.plan, len(study.trials), study.model) == (made.hash, 2, "itemknn")
    bench("run", "--models", "random", "--dataset", "tiny", "--results", results)
    done = bench("run", "--plan", plan, "--results", results)
    assert done.status == 0, done.err
    names = {result.cell.name: result.plan for result in Store(results).results()}
    assert names == {**dict.fromkeys(ROWS, made.hash), "random": ""}
    [line] = [line for line in done.out.splitlines() if line.startswith(f"- by plan {made.hash}: ")]
    assert set(line.partition(": ")[2].split(", ")) == set(ROWS)
    assert "- before or without a plan: random" in done.out
    document = json.loads(next((results / "leaderboards").glob("tiny*.json")).read_text())
    assert {row["model"]: row["results"][0]["plan"] for row in document["rows"]}["random"] == ""


def test_a_study_of_before_is_none_of_the_plan(tiny_cards, tmp_path):
    made, _ = planned()
    trials = [{"number": n, "options": {}, "score": 0.1, "seconds": 1.0, "cell": "c"} for n in range(2)]
    fields = {"model": "itemknn", "preset": "default", "dataset": "tiny", "fingerprint": made.fingerprint, "seed": 1,
              "metric": "ndcg@10", "space": {}, "code": "c"}  # fmt: skip
    path = study_path(tmp_path, "tiny", "itemknn", made.fingerprint)
    path.parent.mkdir()
    for study, fits in (({"trials": trials, "plan": made.hash}, True), ({"trials": trials}, False),
                        ({"trials": trials[:1], "plan": made.hash}, False)):  # fmt: skip
        path.write_text(Study(**fields, **study).model_dump_json())
        with contextlib.nullcontext() if fits else pytest.raises(ConfigError, match="not tuned to the end by plan"):
            check_studies(made, tmp_path)


def test_hours_are_those_of_recorded_runs_or_unknown(bench, plan, tmp_path):
    bench("run", "--models", "itemknn", "--dataset", "tiny", "--results", tmp_path)
    [result] = Store(tmp_path).results()
    made, cells = planned()
    found = {cost.row: cost for cost in costs(made, cells, tmp_path)}
    hours = sum(result.phases[phase].cpu_seconds for phase in ("import", "fit", "recommend")) / 3600
    assert (found["pop"].runs, found["pop"].hours, found["pop"].basis) == (1, None, "")
    assert (found["itemknn"].runs, found["itemknn"].hours) == (0, 0.0)
    assert (found["itemknn@tuned"].runs, found["itemknn@tuned"].trials) == (1, 2)
    assert found["itemknn@tuned"].hours == pytest.approx(3 * hours)
    assert found["itemknn@tuned"].basis == "same config and data, 1 run"


def test_a_plan_that_is_not_tuned_is_estimated_as_far_as_it_can_be(bench, plan, tmp_path):
    results = tmp_path / "results"
    words = ("estimate", "--plan", plan, "--results", results)
    bench("run", "--models", "itemknn", "--dataset", "tiny", "--results", results)
    made, cells = planned()
    done = bench(*words)
    assert done.status == 0, done.err
    last = done.out.splitlines()[-1]
    assert last == "not tuned yet, so trials and tuned rows are forecast by the preset, and memory is not: itemknn"
    assert json.loads(bench(*words, "--json").out) == [cost._asdict() for cost in costs(made, cells, results)]
    bench("tune", "--plan", plan, "--results", results)
    [path] = (results / FOLDER).glob("*.json")
    study = json.loads(path.read_bytes())
    study["trials"][1]["score"] = 1.0  # another config than the preset's is the best one
    path.write_text(json.dumps(study))
    rows = json.loads(bench(*words, "--json").out)
    assert [(row["row"], row["runs"]) for row in rows] == [("pop", 1), ("itemknn", 0), ("itemknn@tuned", 1)]
    assert rows[2]["gib"] > 0  # by its trials


def test_hours_have_a_span():
    assert span(3.0) == " (most likely 1.50 to 6.00)"
    assert span(0.001) == span(0.0) == ""


def test_command_writes_a_plan_and_does_not_overwrite_one(bench, tmp_path):
    words = ("plan", "--models", "pop,itemknn@tuned", "--dataset", "tiny", "--trials", "3", "--seeds", "1-2",
             "--output", tmp_path / "p.yaml", "--results", tmp_path)  # fmt: skip
    done = bench(*words)
    assert (done.status, done.err) == (0, "")
    assert "without pop, itemknn@tuned: the results folder has no run of that model" in done.out
    assert done.out.endswith(f"plan {read_file(tmp_path / 'p.yaml').hash}: {tmp_path / 'p.yaml'}\n")
    before = (tmp_path / "p.yaml").read_bytes()
    again = bench(*words)
    assert (again.status, again.out) == (1, "")
    assert "is there already: remove it, or give another --output" in again.err
    assert (tmp_path / "p.yaml").read_bytes() == before


def test_a_plan_that_was_changed_is_refused(plan):
    plan.write_text(plan.read_text().replace("trials: 2", "trials: 3"))
    with pytest.raises(ConfigError, match="was changed after it was made, its hash is not that of its content"):
        read_file(plan)


@pytest.mark.parametrize(
    "text", ["", "- 1", "hash: 3\n", "{", "\x00", "run: {models: [pop], dataset: tiny}\n"], ids=repr
)
def test_what_is_no_plan_is_one_line(bench, tmp_path, text):
    (tmp_path / "plan.yaml").write_text(text)
    done = bench("run", "--plan", tmp_path / "plan.yaml", "--results", tmp_path)
    assert (done.status, done.out) == (1, "")
    assert "plan.yaml is no" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: made.model_copy(update={"fingerprint": "0" * 64}), "was made for other data or another protocol"),
        (
            lambda made: made.model_copy(
                update={"rows": {**made.rows, "itemknn": made.rows["itemknn"].model_copy(update={"config": {}})}}
            ),
            "itemknn has another config than plan",
        ),
        (
            lambda made: made.model_copy(update={"rows": {**made.rows, "itemknn@tuned": made.rows["itemknn"]}}),
            "itemknn@tuned has another space than plan",
        ),
    ],
    ids=["data", "config", "space"],
)
def test_a_plan_that_does_not_hold_here_is_refused(tiny_cards, change, said):
    with pytest.raises(ConfigError, match=said):
        run_of(change(planned()[0]), {})


def test_options_that_a_plan_has_are_refused_beside_it(bench, plan, tmp_path):
    for command, words in (("run", ("--seeds", "3")), ("tune", ("--trials", "9")), ("tune", ("--jobs", "2"))):
        done = bench(command, "--plan", plan, "--results", tmp_path, *words)
        assert f"--plan says what is run: leave out what sets {words[0].removeprefix('--')}" in done.err
    assert bench("plan", "--models", "pop").err.startswith("error: --dataset is missing")


def test_a_plan_without_tuned_rows_tunes_nothing(bench, tmp_path):
    bench("plan", "--models", "pop", "--dataset", "tiny", "--output", tmp_path / "p.yaml", "--results", tmp_path)
    done = bench("tune", "--plan", tmp_path / "p.yaml", "--results", tmp_path)
    assert "tunes no model: 'bench run --plan' carries it out" in done.err


def test_a_plan_for_several_splits_is_carried_out_in_each(bench, tmp_path):
    results, plan = ("--results", tmp_path), tmp_path / "p.yaml"
    words = ("--dataset", "tiny", "--protocol", "kfold:3", "--trials", "2", "--output", plan, *results)
    assert bench("plan", "--models", "itemknn,itemknn@tuned", *words).status == 0
    rows = json.loads(bench("estimate", "--plan", plan, "--json", *results).out)
    assert [(row["row"], row["runs"], row["trials"]) for row in rows] == [("itemknn", 3, 0), ("itemknn@tuned", 3, 6)]
    assert bench("tune", "--plan", plan, *results).status == 0
    studies = sorted((tmp_path / FOLDER).glob("*.json"))
    whole = studies[1].read_text()
    studies[1].write_text(json.dumps({**json.loads(whole), "plan": "of another"}))
    assert "itemknn was not tuned to the end by plan" in bench("run", "--plan", plan, *results).err
    studies[1].write_text(whole)
    assert bench("run", "--plan", plan, *results).status == 0
    assert sorted((result.cell.name, result.cell.fold) for result in Store(tmp_path).results()) == [
        (name, fold) for name in ("itemknn", "itemknn@tuned") for fold in range(3)
    ]


def test_what_cannot_be_tuned_is_not_planned(bench, own_card, tmp_path):
    own = own_card([(f"u{user}", f"i{item}", 100) for user in range(9) for item in range(2)])
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"own": own.model_dump(mode="json", exclude={"name"})}))
    words = ("--dataset", tmp_path / "own.yaml", "--output", tmp_path / "p.yaml", "--results", tmp_path)
    done = bench("plan", "--models", "itemknn,itemknn@tuned", *words)
    assert "leaves no train part that one for validation could be of" in done.err
    assert not (tmp_path / "p.yaml").exists()
    assert bench("plan", "--models", "itemknn", *words).status == 0
