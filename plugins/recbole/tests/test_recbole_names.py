"""From names to classes and configs."""

import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest
from bench_recbole.registry import config_class, model_class, model_names
from bench_recbole.setup import build
from pydantic import ValidationError
from recbole.model.abstract_recommender import AutoEncoderMixin, SequentialRecommender

from bench import BenchError, ConfigError
from bench.plugins import load_model
from bench.testing import LocalContext, block_interactions

NAMED = sorted(
    entry.name for entry in entry_points(group="bench.models") if entry.value.startswith("bench_recbole.models:")
)


def test_ncf_is_neumf():
    assert load_model("ncf").recbole_class is load_model("neumf").recbole_class
    assert load_model("ncf").Config is load_model("neumf").Config


def test_a_model_has_the_class_and_the_config_of_its_name():
    assert len(NAMED) == 11
    for name in NAMED:
        model = load_model(name)
        assert model.__name__.lower() == name
        if name != "ncf":
            assert model.recbole_class.__name__ == model.__name__
            assert model.Config.__name__ == f"{model.__name__}Config"


def test_the_package_imports_neither_torch_nor_recbole():
    code = "import sys, bench_recbole; sys.exit(any(name in sys.modules for name in ('torch', 'recbole')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("module", ["models", "registry"])
def test_the_models_leave_torch_as_it_is(module):
    code = f"import sys, torch, bench_recbole.{module}; sys.exit(torch.is_anomaly_enabled())"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["bpr", "recbole:ENMF"])
def test_without_recbole_the_error_says_how_to_install_it(name):
    code = f"import sys; sys.modules['recbole'] = None; from bench.plugins import load_model; load_model('{name}')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("bench.errors.PluginError: ")
    assert last.endswith("RecBole is not installed: pip install --no-deps recbole==1.2.1")


def test_the_version_of_recbole_is_declared_as_code():
    (entry,) = [entry for entry in entry_points(group="bench.code") if entry.dist.name == "recsys-bench-recbole"]
    assert entry.name == "recbole"


@pytest.mark.parametrize(("name", "says"), [
    ("recbole:ENFM", "did you mean 'ENMF'"),
    ("recbole:enmf", "unknown RecBole model 'enmf'"),
    ("recbole:", "unknown RecBole model"),
    ("recbole:general_recommender", "unknown RecBole model"),
    ("recbole:../overall", "unknown RecBole model"),
    ("recbole:DeepFM", "only its general and sequential models"),
    ("recbole:KGAT", "only its general and sequential models"),
    ("recbole:SASRecF", "needs item features"),
])  # fmt: skip
def test_unknown_and_unsupported_models(name, says):
    with pytest.raises(BenchError, match=says.replace("(", r"\(")):
        model_class(name)


def test_family_config_has_the_defaults_of_recbole():
    config = config_class("SLIMElastic")()
    assert config.l1_ratio == 0.02
    assert config.positive_only is True
    config = config_class("NAIS")()
    assert config.reg_weights == (1e-7, 1e-7, 1e-5)
    assert config_class("DMF")().inter_matrix_type == "01"
    assert config_class("NNCF")(resolution=0.5).resolution == 0.5  # 1 in the yaml, where a comment says float
    assert config_class("Caser")().max_seq_length == 50
    described = config_class("ENMF").model_json_schema()["properties"]["negative_weight"]
    assert described["description"] == "The weight of non-observed data."


def test_family_config_refuses_unknown_keys_and_wrong_types():
    for options in ({"negative_wieght": 1}, {"negative_weight": "much"}):
        with pytest.raises(ValidationError):
            config_class("ENMF")(**options)


@pytest.mark.parametrize("name", NAMED)
def test_defaults_of_short_names_are_those_of_recbole_but_for_the_documented_ones(name):
    model = load_model(name)
    published = config_class(model.recbole_class.__name__)().model_dump()
    changed = {key for key, value in model.Config().model_dump().items() if published.get(key, value) != value}
    assert changed == ({"learning_rate", "train_batch_size"} if name == "lightgcn" else set())


def test_all_models_of_the_family_have_a_config():
    assert len(model_names()) > 50
    for name in model_names():
        model_class(f"recbole:{name}").Config()


def test_a_model_that_draws_its_lists_anew_at_each_call_is_refused():
    assert "Random" not in model_names()
    with pytest.raises(ConfigError, match="draws its lists anew at each call: use the model random"):
        model_class("recbole:Random")


@pytest.mark.parametrize(("name", "samples"), [("BPR", True), ("EASE", False), ("ItemKNN", False), ("MultiDAE", False)])
def test_negatives_are_an_option_of_models_that_draw_some(name, samples):
    assert ("negative_samples" in config_class(name).model_fields) == samples


def test_no_model_with_vectors_of_users_serves_strangers():
    train = block_interactions(n_users=83).train
    for name in model_names():
        model = model_class(f"recbole:{name}")
        if model.fold_in or issubclass(model.recbole_class, (AutoEncoderMixin, SequentialRecommender)):
            built = build(model.recbole_class, model.Config(), [train], 1, "cpu")
            sizes = {weights.shape[0] for weights in built.model.parameters() if weights.ndim}
            assert model.fold_in == (train.n_users + 1 not in sizes), name
    assert not load_model("simplex").fold_in
    assert load_model("sasrec").fold_in


@pytest.mark.parametrize("name", ["AsymKNN", "EASE", "ItemKNN", "SLIMElastic"])
def test_models_that_are_declared_deterministic_draw_nothing(name, tmp_path):
    data = block_interactions()
    users, found = np.arange(data.train.n_users), []
    for seed in (1, 2):
        model = model_class(f"recbole:{name}")
        model = model(model.Config())
        model.fit(data.train, data.valid, LocalContext(model, data, tmp_path, seed))
        found.append(model.score(users, data.train))
    assert np.array_equal(*found) == model.deterministic
