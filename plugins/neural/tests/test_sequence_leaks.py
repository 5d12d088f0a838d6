"""``bench doctor --leaks``: honest models of sequences pass, and one that is trained on what it sees does not run."""

from pathlib import Path

import pytest

from bench.runs.leaks import check_leaks

PACKED = '''
from typing import Literal

from bench_neural.sequences.config import BSARecConfig
from bench_neural.sequences.models import BSARec


class PackedConfig(BSARecConfig):
    targets: Literal["packed", "prefixes"] = "packed"


class PackedBSARec(BSARec):
    """BSARec with packed targets, which its filter reads."""

    Config = PackedConfig
'''


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the model, in a package that is on the path of this process and of its workers."""
    site = tmp_path / "site"
    metadata = site / "packed-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "packed.py").write_text(PACKED)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: packed\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[bench.models]\npacked-bsarec = packed:PackedBSARec\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    return "packed-bsarec"


def findings(*models, options=None):
    return [finding for finding in check_leaks(models, options, confine=False) if finding.model != "(harness)"]


@pytest.mark.slow
def test_bsarec_on_packed_targets_fails_the_leak_checks(packed):
    found = findings(packed)
    assert found
    assert not any(finding.passed for finding in found)
    assert all("reads items behind it" in finding.detail for finding in found)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["sasrec-fast", "hstu", "bsarec"])
def test_honest_models_pass(model):
    found = findings(model, options={model: {"epochs": 10, "layers": 1}})
    assert found
    assert all(finding.passed for finding in found), found
