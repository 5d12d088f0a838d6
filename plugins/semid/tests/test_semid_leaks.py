"""``bench doctor --leaks``: nothing of test or validation reaches the codes, the networks or the search."""

import pytest

from bench.runs.leaks import check_leaks

# Codes enough that hardly any items share them: those that do are ranked by their ids, which tell something here.
SMALL = {"epochs": 3, "layers": 1, "vectors_size": 16, "codebook_size": 16, "codes": 4}


@pytest.mark.slow
def test_honest_models_pass():
    """Both in one run."""
    models = ["rpg", "tiger"]
    found = check_leaks(models, dict.fromkeys(models, SMALL), confine=False)
    found = [finding for finding in found if finding.model != "(harness)"]
    assert found
    assert all(finding.passed for finding in found), found
