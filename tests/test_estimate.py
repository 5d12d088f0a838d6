"""Forecasts against laws that are known, and what a run makes of them: what starts together, and what never."""

import json

import pytest

from bench.messages.cell import Phase, Size
from bench.messages.spec import RunSpec
from bench.runs import environment
from bench.runs.estimate import forecast, recorded
from bench.runs.plan import make_plan
from bench.runs.room import Room
from bench.runs.store import Store

SIZES = [Size(users=n, items=n // 3, interactions=20 * n, tested=n) for n in (300, 1000, 3000, 9000)]


def block(size):
    """MiB of scores of one call of recommend."""
    return min(size.tested, 8192) * size.items * 4 / 2**20


def quadratic(size):
    """A model that keeps a square matrix of its items: 100 MiB, 8 bytes a pair, and a block of scores for the lists."""
    square = 8 * size.items**2 / 2**20
    return {
        "import": Phase(seconds=1, peak_mib=60),
        "fit": Phase(seconds=9, cpu_seconds=2 + size.interactions / 1e4, peak_mib=100 + square),
        "recommend": Phase(seconds=1, cpu_seconds=0.1 + size.tested / 1e4, peak_mib=100 + square + block(size)),
    }


@pytest.fixture
def ran(make_result):
    def make(size, phases=quadratic, **fields):
        known = {"fingerprint": f"{size.users:064}", "size": size, "phases": phases(size)} if size else {}
        return make_result(**{**known, **fields})

    return make


@pytest.mark.parametrize("left_out", range(4))
def test_growth_is_found(ran, left_out):
    """Within a fifth, between sizes and up to three times beyond the largest one."""
    results = [ran(size) for size in SIZES]
    wanted = results.pop(left_out)
    found = forecast(wanted.cell, wanted.size, recorded(results, {}))
    peak = max(phase.peak_mib for phase in wanted.phases.values())
    assert found.memory == pytest.approx(peak, rel=0.2)
    assert found.seconds_an_epoch == pytest.approx(wanted.phases["fit"].cpu_seconds, rel=0.2)
    assert found.basis == "growth, 3 runs"


def test_of_one_size_the_block_of_scores_is_known_to_grow(ran):
    """A model that needs nothing but the scores that are asked of it."""

    def plain(size):
        return {name: Phase(seconds=1, peak_mib=50 + block(size) * (name == "recommend")) for name in quadratic(size)}

    wanted = ran(SIZES[3], plain)
    found = forecast(wanted.cell, wanted.size, recorded([ran(SIZES[1], plain)], {}))
    assert found.memory == pytest.approx(50 + block(SIZES[3]), rel=0.5)


def test_what_one_small_set_took_is_no_matter_of_the_squares_of_a_large_one(ran):
    """Its 90 MiB beyond the import could be of anything; a model that was seen there alone is not refused 24 GiB."""

    def took(size):
        return {name: Phase(seconds=1, peak_mib=60 + 90 * (name != "import")) for name in quadratic(size)}

    small, large = SIZES[0], Size(users=100_000, items=30_000, interactions=10**6, tested=100_000)
    found = forecast(ran(large, took).cell, large, recorded([ran(small, took)], {}))
    assert block(large) < found.memory
    assert found.memory / found.spread < 24 * 1024


def test_of_the_same_cells_it_is_the_median(ran):
    def took(mib, seconds):
        return lambda size: {name: Phase(seconds=seconds, peak_mib=mib) for name in quadratic(size)}

    runs = [ran(SIZES[0], took(mib, mib / 10), seed=seed) for seed, mib in enumerate((100, 130, 900))]
    other = ran(SIZES[0], took(5000, 5000), config={"epochs": 3})
    found = forecast(ran(SIZES[0], seed=9).cell, SIZES[0], recorded([*runs, other], {}))
    assert (found.memory, found.seconds_an_epoch, found.epochs) == (130, 13, 1)
    assert found.basis == "same config and data, 3 runs"


def test_a_wider_model_takes_more(ran):
    """By its parameters, of records of two widths."""

    def wide(width):
        def took(size):
            mib = 50 + (size.users + size.items) * width * 4 / 2**20
            cpu = size.interactions * width / 1e6
            return {name: Phase(seconds=cpu, cpu_seconds=cpu, peak_mib=mib) for name in quadratic(size)}

        return took

    results = [ran(size, wide(w), config={"embedding_size": w}) for size in SIZES[2:] for w in (64, 512)]
    wanted = ran(SIZES[3], wide(2048), config={"embedding_size": 2048})
    found = forecast(wanted.cell, wanted.size, recorded(results, {}))
    assert found.memory == pytest.approx(wanted.phases["fit"].peak_mib, rel=0.3)
    assert found.seconds_an_epoch == pytest.approx(wanted.phases["fit"].cpu_seconds, rel=0.3)


def test_epochs_are_counted_over_stages(ran):
    records = [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)]
    told = [{"stage": stage, "epoch": epoch, "score": 0.1, "improved": True} for stage, epoch in records]
    [one] = recorded(
        [ran(SIZES[0]).model_copy(update={"validations": ran(SIZES[0], validations=told).validations})], {}
    )
    assert one.epochs == 5


def test_nothing_is_learnt_from_other_models_failures_and_data_of_unknown_size(ran):
    wanted = ran(SIZES[0])
    others = [ran(SIZES[0], model="ease"), ran(SIZES[1], status="failed"), ran(None, fingerprint="e" * 64)]
    assert forecast(wanted.cell, SIZES[0], recorded(others, {})) is None
    assert len(recorded(others, {others[2].cell.fingerprint: SIZES[2]})) == 2


@pytest.fixture
def room(tiny_cards, tmp_path, make_result):
    """Of 1,000 MiB for three models; 300 and 600 MiB were seen of two of them, nothing of the third."""
    plan = make_plan(RunSpec(models=["pop", "itemknn", "ease"], dataset="tiny", jobs=4))
    store = Store(tmp_path)
    for cell, mib in zip(plan.cells, (300, 600), strict=False):
        phases = {name: Phase(seconds=1, peak_mib=mib) for name in ("import", "fit", "recommend")}
        old = make_result(**{**dict(cell), "seed": 7}, phases=phases)
        store.write(old)
    return Room(plan, store, total=1000.0, free=1000.0), plan.cells


def test_cells_start_together_that_fit_together(room):
    room, (small, large, unknown) = room
    assert room.fits(large, [])
    assert room.fits(large, [small])
    assert not room.fits(large, [large])
    assert room.fits(unknown, [small])  # 300 + 1000 / 4
    assert not room.fits(unknown, [small, large])


def test_a_cell_that_cannot_fit_is_refused_with_numbers(room, make_result):
    room, (small, large, unknown) = room
    assert [room.refusal(cell) for cell in (small, large, unknown)] == [None, None, None]
    room.total = 400.0
    assert room.refusal(small) is None
    said = "needs about 0.586 GiB (same config and data, 1 run), this machine has 0.391: not started"
    assert room.refusal(large) == said
    room.total = 550.0  # within what a forecast may be off
    assert room.refusal(large) is None


def test_what_has_finished_is_learnt(room, make_result):
    room, (_, _, unknown) = room
    phases = {name: Phase(seconds=1, peak_mib=4000) for name in ("import", "fit", "recommend")}
    room.learn(make_result(**{**dict(unknown), "seed": 7}, phases=phases, size=room.sizes[None]))
    assert room.refusal(unknown)


def test_refused_cell_is_a_row_with_its_reason_and_runs_where_there_is_room(bench, tmp_path, monkeypatch):
    words = ("run", "--dataset", "tiny", "--models", "random", "--results", tmp_path, "--seeds")
    assert bench(*words, "1").status == 0
    [first] = Store(tmp_path).results()
    assert first.size == Size(users=48, items=40, interactions=first.size.interactions, tested=first.size.tested)
    assert all(phase.cpu_seconds is not None for phase in first.phases.values())
    with monkeypatch.context() as small:
        small.setattr(environment, "memory_mib", lambda: 10.0)
        said = bench(*words, "1,2")
    assert said.status == 1
    assert "needs about" in said.out
    assert "this machine has 0.00977: not started" in said.out
    assert bench(*words, "1,2").status == 0
    assert len({r.cell.seed for r in Store(tmp_path).results() if r.status == "finished"}) == 2


@pytest.mark.parametrize(("jobs", "starts"), [pytest.param("1", 1, marks=pytest.mark.slow), ("2", 2)])
def test_cell_that_was_killed_beside_others_is_run_once_more_alone(start_bench, rough_site, tmp_path, jobs, starts):
    hooks, path = tmp_path / "hooks", str(rough_site)
    words = ("run", "--dataset", "tiny", "--models", "rough-killed,rough-learner", "--jobs", jobs, "--threads", "1")
    process = start_bench(
        *words, "--results", tmp_path / "results", environment={"PYTHONPATH": path, "ROUGH_HOOKS": str(hooks)}
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    told = [json.loads(line) for line in hooks.read_text().splitlines()]
    begun = [at for at, one in enumerate(told) if one["hook"] == "cell started" and one["model"] == "rough-killed"]
    assert len(begun) == starts
    assert err.count("it is run once more with the machine to itself") == starts - 1
    over = [at for at, one in enumerate(told) if one["hook"] == "cell finished" and one["model"] == "rough-learner"]
    assert starts == 1 or begun[1] > over[0]


def test_estimate_tells_what_is_left_and_what_is_unknown(bench, tmp_path):
    words = ("--dataset", "tiny", "--results", tmp_path)
    bench("run", "--models", "pop", *words)
    said = bench("estimate", "--models", "pop,itemknn", *words)
    assert said.status == 0
    assert "nothing to train" in said.out
    assert "unknown: itemknn: no run of these models in the results folders" in said.out
    [_, left] = json.loads(bench("estimate", "--models", "pop,itemknn", *words, "--json").out)
    assert (left["row"], left["runs"], left["gib"]) == ("itemknn", 1, None)
    assert max(map(len, said.out.splitlines())) <= 100


def test_a_row_that_takes_the_lists_of_its_twin_costs_nothing(bench, tmp_path):
    """A tuned row whose best trial was the preset is not trained again, so no training is forecast."""
    words = ("--dataset", "tiny", "--results", tmp_path)
    bench("tune", "--models", "itemknn", *words, "--trials", "1")

    def left() -> list[int]:
        return [row["runs"] for row in json.loads(bench("estimate", "--models", models, *words, "--json").out)]

    models = "itemknn,itemknn@tuned"
    assert left() == [1, 0]
    bench("run", "--models", "itemknn", *words)
    assert left() == [0, 0]
