"""``bench doctor --leaks``: nothing of test or validation reaches the codes, the networks or the search."""

import pytest

from bench.runs.leaks import check_leaks

SMALL = {"epochs": 3, "layers": 1, "vectors_size": 16, "codebook_size": 16, "codes": 2}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["rpg", "tiger"])
def test_honest_models_pass(model):
    found = [finding for finding in check_leaks([model], {model: SMALL}, confine=False) if finding.model != "(harness)"]
    assert found
    assert all(finding.passed for finding in found), found
