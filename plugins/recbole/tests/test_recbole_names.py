"""From names to classes and configs."""

import subprocess
import sys

import pytest
from bench_recbole import bench_model
from bench_recbole.family import config_class, model_names
from bench_recbole.registry import SHORT_NAMES
from pydantic import ValidationError

from bench.errors import BenchError


def test_ncf_is_neumf():
    assert bench_model("ncf").recbole_class is bench_model("neumf").recbole_class


def test_asking_for_metadata_imports_neither_torch_nor_recbole():
    code = "import sys, bench_recbole; sys.exit(any(name in sys.modules for name in ('torch', 'recbole')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_recbole_the_error_says_how_to_install_it():
    code = "import sys; sys.modules['recbole'] = None; import bench_recbole; bench_recbole.bench_model('bpr')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = ended.stderr.strip().splitlines()[-1]
    assert last == (
        "bench.errors.BenchError: 'bpr' needs RecBole, which is not installed: pip install --no-deps recbole==1.2.1"
    )


@pytest.mark.parametrize(("name", "says"), [
    ("recbole:ENFM", "did you mean 'ENMF'"),
    ("recbole:enmf", "unknown RecBole model 'enmf'"),
    ("recbole:", "unknown RecBole model"),
    ("recbole:general_recommender", "unknown RecBole model"),
    ("recbole:../overall", "unknown RecBole model"),
    ("recbole:DeepFM", "only its general and sequential models"),
    ("recbole:KGAT", "only its general and sequential models"),
    ("recbole:SASRecF", "needs item features"),
    ("bprr", "did you mean 'bpr'"),
])  # fmt: skip
def test_unknown_and_unsupported_models(name, says):
    with pytest.raises(BenchError, match=says.replace("(", r"\(")):
        bench_model(name)


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


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_defaults_of_short_names_are_those_of_recbole_but_for_the_documented_ones(name):
    model = bench_model(name)
    published = config_class(model.recbole_class.__name__)().model_dump()
    changed = {key for key, value in model.Config().model_dump().items() if published.get(key, value) != value}
    assert changed == ({"learning_rate", "train_batch_size"} if name == "lightgcn" else set())


def test_all_models_of_the_family_have_a_config():
    assert len(model_names()) > 50
    for name in model_names():
        bench_model(f"recbole:{name}").Config()
