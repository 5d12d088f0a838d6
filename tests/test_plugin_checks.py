"""``bench plugin test`` and the published checks: each rule of the contract that a model breaks is told, and where."""

import importlib.util
import inspect
import os
import pickle
import re
import zipfile
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

import bench.contract
from bench import Recommendations, Recommender
from bench.messages.cell import Phase
from bench.testing import ModelChecks, WorkerChecks
from bench.testing.asks import asks, line_of
from bench.testing.pickles import is_pickle

CHECKS = {
    name: check
    for kind in (ModelChecks, WorkerChecks)
    for name, check in vars(kind).items()
    if name.startswith("test_")
}


class Good(Recommender):
    """Items that share users with those of the history."""

    deterministic = True
    state = ("links", "popularity")

    def fit(self, train, valid, context):
        self.popularity = train.popularity
        seen = np.zeros(train.shape, np.float32)
        seen[train.users, train.items] = 1
        self.links = seen.T @ seen / (1 + seen.sum(0)) ** 0.5

    def score(self, users, history):
        seen = np.zeros(history.shape, np.float32)
        seen[history.users, history.items] = 1
        return seen @ self.links


class Blank(Good):
    """Scores users without a history by nothing."""

    state = ("links",)

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self.popularity = None


class SameForAll(Blank):
    """What most others like."""

    def score(self, users, history):
        return np.tile(self.links.sum(0), (len(users), 1))


class Modest(Good):
    """Is personalized, and says that it is not."""

    personalized = False


class ByNumber(Good):
    """Knows that users and items of the same number modulo 4 are of one block."""

    def score(self, users, history):
        return (users[:, None] % 4 == np.arange(history.n_items) % 4).astype(np.float32)


class ById(Good):
    """Knows users by id alone."""

    state = ("known", *Good.state)

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self.known = super().score(np.arange(train.n_users), train)

    def score(self, users, history):
        return self.known[users]


class Moody(Good):
    """Depends on a generator that nobody seeded."""

    deterministic = False

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self.links = self.links + np.random.default_rng().random(self.links.shape, np.float32) / 100


class Seeded(Good):
    """Depends on the seed, and says that it does not."""

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self.links = self.links + np.random.default_rng(context.seed).random(self.links.shape, np.float32) / 100


class Forgetful(Good):
    """Is loaded as something else than was saved."""

    def load(self, folder, device):
        super().load(folder, device)
        self.links = np.array(self.links)[::-1]


class Pickler(Good):
    """Keeps what it knows as a pickle."""

    def save(self, folder):
        (folder / "model.bin").write_bytes(pickle.dumps([self.links, self.popularity]))

    def load(self, folder, device):
        self.links, self.popularity = pickle.loads((folder / "model.bin").read_bytes())


class Objects(Pickler):
    """Keeps it as an array of objects."""

    def save(self, folder):
        together = np.empty(2, object)
        together[0], together[1] = self.links, self.popularity
        np.save(folder / "model.npy", together, allow_pickle=True)

    def load(self, folder, device):
        self.links, self.popularity = np.load(folder / "model.npy", allow_pickle=True)


class Packed(Pickler):
    """Keeps it in a file as torch.save makes them."""

    def save(self, folder):
        with zipfile.ZipFile(folder / "model.pt", "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps([self.links, self.popularity]))

    def load(self, folder, device):
        with zipfile.ZipFile(folder / "model.pt") as archive:
            self.links, self.popularity = pickle.loads(archive.read("archive/data.pkl"))


class Mumbler(Good):
    """Explains a list, and not its items."""

    def explain(self, users, history, recommendations):
        return [[{"why": "because"}] for _ in users]


class Wordless(Good):
    """Explains by numbers that JSON has not."""

    def explain(self, users, history, recommendations):
        return [[{"score": np.float32(1)} for item in row if item >= 0] for row in recommendations.items]


class Untidy(Good):
    """Writes where it is run."""

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        np.save("links.npy", self.links)


class Stubborn(Good):
    """Recommends what is excluded."""

    def recommend(self, users, history, exclude, k):
        nothing = exclude.where(np.zeros(len(exclude), bool))
        return super().recommend(users, history, nothing, k)


class NoCold(Good):
    """Has nothing for a user without a history."""

    def recommend(self, users, history, exclude, k):
        found = super().recommend(users, history, exclude, k)
        empty = (history.lengths == 0)[:, None]
        return Recommendations(np.where(empty, -1, found.items), np.where(empty, -np.inf, found.scores))


class Crowd(Good):
    """Scores by who is asked for together."""

    def score(self, users, history):
        scores = super().score(users, history)
        return scores - scores.mean(axis=0) if len(users) else scores


def inverse(matrix):
    return np.linalg.inv(matrix[:, :3])


class NotFitted(Good):
    """Breaks in a function that fit calls, within a library."""

    def fit(self, train, valid, context):
        super().fit(train, valid, context)
        self.links = inverse(self.links)


class Undescribed(Good):
    pass


Undescribed.__doc__ = None

BROKEN = {
    "test_says_whether_it_is_personalized": [SameForAll, Modest],
    "test_other_numbers_of_users_and_items_change_nothing": [ByNumber],
    "test_users_outside_train_are_served_unless_it_says_so": [ById],
    "test_same_seed_gives_identical_lists": [Moody],
    "test_another_seed_matters_unless_deterministic": [Seeded],
    "test_saved_model_gives_identical_lists": [Forgetful],
    "test_saves_without_pickle": [Pickler, Objects, Packed],
    "test_explains_each_item_of_a_list": [Mumbler, Wordless],
    "test_writes_only_into_its_folder": [Untidy],
    "test_lists_keep_the_contract": [Stubborn, NoCold],
    "test_users_without_a_history_get_lists": [NoCold, Blank],
    "test_list_does_not_depend_on_who_else_is_asked_for": [Crowd],
    "test_has_the_members_of_a_model": [Undescribed],
}


def run(check, model_class, tmp_path_factory):
    """Run one check of a class that no package brings."""

    class Checks(ModelChecks):
        name = "of-the-test"

        def configured(self):
            return model_class, model_class.Config()

    wanted = inspect.signature(getattr(ModelChecks, check)).parameters
    given = {"tmp_path": lambda: tmp_path_factory.mktemp("check"), "k": lambda: 10}
    for fixture in ("fitted", "again"):
        function = inspect.getattr_static(ModelChecks, fixture).__wrapped__.__func__
        given[fixture] = lambda function=function: function(Checks, tmp_path_factory)
    getattr(Checks(), check)(**{name: given[name]() for name in wanted if name != "self"})


@pytest.mark.parametrize(("check", "model_class"), [(check, model) for check in BROKEN for model in BROKEN[check]])
def test_a_broken_rule_is_told_in_one_sentence_with_its_place(check, model_class, tmp_path_factory):
    with pytest.raises(AssertionError) as error:
        run(check, model_class, tmp_path_factory)
    said = str(error.value)
    assert "\n" not in said
    where, line, found = re.fullmatch(r"[A-Z].+? \((\w+\.\w+), bench/contract\.py:(\d+)\); found: (.+)", said).groups()
    assert len(found) > 10
    source = inspect.getsource(bench.contract).splitlines()
    assert re.search(rf"(^|\W){where.partition('.')[2]}\b", source[int(line) - 1])


def test_an_error_in_fit_is_told_with_the_line_of_the_model(tmp_path_factory):
    with pytest.raises(AssertionError) as error:
        run("test_can_be_fitted", NotFitted, tmp_path_factory)
    told = re.search(r"found: LinAlgError: .+ \((.+):(\d+)\)$", str(error.value))
    assert told[1].endswith("test_plugin_checks.py")
    assert int(told[2]) == inspect.getsourcelines(inverse)[1] + 1


MODEL_CHECKS = [name for name in vars(ModelChecks) if name.startswith("test_")]
ONE_FAULT = (
    SameForAll, Modest, ByNumber, ById, Moody, Seeded, Blank, Forgetful, Untidy, Crowd, Undescribed, Pickler, Objects,
    Packed, Mumbler, Wordless,
)  # fmt: skip


def named_check(model_class):
    [found] = [check for check in BROKEN if model_class in BROKEN[check]]
    return found


@pytest.mark.parametrize("model_class", ONE_FAULT)
def test_a_model_with_one_fault_breaks_one_check(model_class, tmp_path_factory):
    broken = []
    for check in MODEL_CHECKS:
        try:
            run(check, model_class, tmp_path_factory)
        except AssertionError:
            broken.append(check)
    assert broken == [named_check(model_class)]


@pytest.mark.parametrize("check", MODEL_CHECKS)
def test_a_good_model_breaks_none(check, tmp_path_factory):
    run(check, Good, tmp_path_factory)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (pickle.dumps({"a": 1}, protocol=2), True),
        (pickle.dumps(None), True),
        ((640).to_bytes(8, "little") + b'{"w":{"dtype":"F32"}} .', False),  # as files of safetensors may begin
        (b"\x80\x04no", False),
        (b'{"items": 3}', False),
        (b"", False),
    ],
    ids=["protocol 2", "of nothing", "safetensors", "no end", "json", "empty"],
)
def test_pickles_are_known_by_how_they_begin_and_end(tmp_path, content, found):
    (tmp_path / "file").write_bytes(content)
    assert is_pickle(tmp_path / "file") is found


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_says_what_the_contract_asks(name):
    sentence = " ".join((CHECKS[name].__doc__ or "").split("\n\n")[0].split())
    assert re.fullmatch(r"[A-Z].{20,140}\.", sentence), sentence
    assert CHECKS[name].__wrapped__, "it is marked with @asks"


class Popularity(WorkerChecks):
    name = "pop"


@pytest.mark.parametrize(("took", "kept"), [((30, 2), True), ((3, 8), True), ((30, 11), False), ((11, None), False)])
def test_a_model_is_not_blamed_for_a_busy_machine(took, kept):
    seconds, cpu_seconds = took
    phases = {
        "fit": Phase(seconds=seconds, peak_mib=1, cpu_seconds=cpu_seconds),
        "recommend": Phase(seconds=0, peak_mib=1),
    }
    ran = SimpleNamespace(result=SimpleNamespace(cell=SimpleNamespace(model="pop"), phases=phases))
    with nullcontext() if kept else pytest.raises(AssertionError, match=r"11.0 s, and promised_seconds = 10"):
        Popularity().test_takes_no_longer_than_promised(ran)


def test_the_place_of_a_member_is_found_in_the_contract():
    assert "def fit(" in inspect.getsource(bench.contract).splitlines()[line_of("Recommender.fit") - 1]
    with pytest.raises(LookupError, match=re.escape("Recommender.no_such")):
        line_of("Recommender.no_such")


def test_whatever_a_model_raises_is_one_line():
    @asks("Recommender.fit")
    def check():
        """A model can be fitted."""
        raise ValueError("two\nlines, \x1b[31mred")

    with pytest.raises(AssertionError) as error:
        check()
    said = f"A model can be fitted (Recommender.fit, bench/contract.py:{line_of('Recommender.fit')}); found: "
    assert str(error.value) == said + "ValueError: two lines, \ufffd[31mred"


@pytest.fixture
def plugin_test(start_bench, rough_site):
    """``bench plugin test`` where the models of ``tests/rough_plugin`` are installed: output, errors, status."""

    def call(*words):
        path = os.pathsep.join([str(rough_site), os.environ.get("PYTHONPATH", "")])
        process = start_bench("plugin", "test", *words, environment={"PYTHONPATH": path})
        return (*process.communicate(timeout=300), process.returncode)

    return call


def test_mistakes_are_one_line(bench):
    for words, said in (
        (["nobody"], "error: unknown model 'nobody'"),
        (["pop", "--set", "ease.l2=1"], "error: --set changes ease, and pop is checked"),
        (["pop", "--set", "l2"], "error: --set takes MODEL.KEY=VALUE, not 'l2'"),
    ):
        done = bench("plugin", "test", *words)
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
        assert done.err.startswith(said)


def test_pytest_that_is_not_there_is_named(bench, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pytest" else real(name))
    done = bench("plugin", "test", "pop")
    assert done.status == 1
    assert done.err.endswith("pytest, which is not installed: pip install 'recsys-bench[testing]'\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("rough-healthy", "all users get the same list: declare personalized = False"),
        ("rough-raises", "found: RuntimeError: the model broke in two lines"),
        ("rough-nan", "slots that break it: 60 not-finite"),
        ("rough-excluded", "excluded"),
        ("rough-unsaved", "Recommender.save"),
    ],
)
def test_checks_of_an_installed_model(plugin_test, model, said):
    out, err, status = plugin_test(model, "--seconds", "200")
    assert status == 1, out + err
    assert said in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 100


def test_a_library_that_bench_code_names_wrongly_is_told_in_one_line(start_bench, tmp_path):
    source = inspect.getsource(Good)
    (tmp_path / "one_fault.py").write_text(f"import numpy as np\nfrom bench import Recommender\n{source}")
    info = tmp_path / "one_fault-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: one-fault\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[bench.models]\ngood = one_fault:Good\n[bench.code]\nsklearn = sklearn\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    process = start_bench("run", "--models", "good", "--dataset", "tiny", environment={"PYTHONPATH": path})
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("error: one-fault names 'sklearn' in the entry-point group bench.code, and no distribution ")
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("model_class", [Modest, ByNumber, Seeded, Untidy, Crowd, Undescribed])
def test_a_plugin_with_one_fault_fails_the_one_check_that_names_it(start_bench, tmp_path, model_class):
    source = "import numpy as np\nfrom bench import Recommender\n\n\n"
    source += "\n\n".join(inspect.getsource(part) for part in dict.fromkeys((Good, model_class)))
    source += "\n\nUndescribed.__doc__ = None\n" if model_class is Undescribed else ""
    (tmp_path / "one_fault.py").write_text(source)
    info = tmp_path / "one_fault-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: one-fault\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[bench.models]\none-fault = one_fault:{model_class.__name__}\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    process = start_bench("plugin", "test", "one-fault", "--seconds", "200", environment={"PYTHONPATH": path})
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, out + err
    failed = [line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith("failed ")]
    assert failed == [named_check(model_class).removeprefix("test_").replace("_", " ")]


@pytest.mark.slow
def test_checks_that_need_a_fitted_model_are_one_line(plugin_test):
    out, err, status = plugin_test("rough-raises", "--seconds", "200")
    assert status == 1, out + err
    failed = [line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith("failed ")]
    names = ["has the members of a model", "can be fitted", "runs in a confined process"]
    assert [name.removesuffix(", as before") for name in failed] == names
    assert " ".join(out.split()).count("RuntimeError: the model broke in two lines (rough/models.py:70)") == 1
    assert re.search(r"^not run 25 checks need a fitted model$", out, re.MULTILINE)
    assert "\n3 of 33 checks of rough-raises failed, " in out


@pytest.mark.slow
def test_what_makes_many_checks_fail_is_told_once(plugin_test):
    out, _, _ = plugin_test("rough-shape", "--seconds", "200")
    told = re.split(r" (?=(?:failed|ok|skipped|not run) )", " ".join(out.split()))
    failed = [one for one in told if one.startswith("failed ")]
    found = [re.sub(r"\d+", "0", one.partition("; found: ")[2]) for one in failed if "; found: " in one]
    assert len(set(found)) == len(found)
    again = [one for one in failed if one.endswith(", as before")]
    assert len(again) == len(failed) - len(found) > 3


@pytest.mark.slow
@pytest.mark.parametrize("model", ["rough-exits", "rough-killed", "rough-aborts"])
def test_a_model_that_ends_its_process_is_told(plugin_test, model):
    out, err, status = plugin_test(model, "--seconds", "200")
    assert status == 1
    if model == "rough-exits":
        assert "found: SystemExit: 0" in " ".join(out.split())
    else:
        assert re.fullmatch(r"error: the process of the checks ended in 'can be fitted' with status -\d+: .*\n", err)


@pytest.mark.slow
def test_a_model_that_never_ends_is_ended(plugin_test):
    out, _, status = plugin_test("rough-sleeps", "--seconds", "8")
    assert status == 1
    assert "8 s were over here" in out


def test_lists_are_asked_for_as_long_as_a_model_can_make_them():
    class Checks(ModelChecks):
        def configured(self):
            return SimpleNamespace(longest_list=lambda config: config), self.options["longest"]

    for longest, expected in ((12, [1, 12, 12]), (None, [1, 12, 48])):
        Checks.options = {"longest": longest}
        assert [Checks().length(k) for k in (1, 12, 48)] == expected
