"""Each command is killed at some of its file operations, or they fail; ``benchmarks/kills.py`` kills at all of them."""

import errno
import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kills import Campaign, scenarios, shared

TRIED = 3
"""Operations of each command: the first, the one in the middle and the last."""


FAILURES = (errno.ENOSPC, errno.EACCES, errno.EDQUOT, errno.EMFILE, errno.EROFS)


@pytest.fixture
def campaign(tiny_cards, rough_site, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(rough_site)
    monkeypatch.setenv("PYTHONPATH", str(rough_site), prepend=os.pathsep)  # the project itself may be found by it
    monkeypatch.setenv("BENCH_PLUGINS", "rough-plugin,recsys-bench-classic")

    def make(scenario):
        campaign = Campaign(scenario, tmp_path)
        campaign.prepare()
        assert campaign.operations > 3
        return campaign, sorted({1 + (campaign.operations - 1) * i // (TRIED - 1) for i in range(TRIED)})

    return make


@pytest.mark.slow
@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
def test_nothing_is_lost_wherever_a_command_is_killed(scenario, campaign, tmp_path):
    campaign, tried = campaign(scenario)
    wrong = {at: found for at in tried if (found := campaign.kill(at))}
    assert wrong == {}, f"of {campaign.operations} operations"
    assert os.environ["BENCH_CACHE_DIR"].startswith(str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
def test_nothing_is_lost_wherever_the_disk_is_full_or_cannot_be_written(scenario, campaign):
    campaign, tried = campaign(scenario)
    wrong = {}
    for at, failure in zip(tried, random.Random(scenario.name).sample(FAILURES, TRIED), strict=True):
        if found := campaign.fail(at, failure):
            wrong[at, errno.errorcode[failure]] = found
    assert wrong == {}, f"of {campaign.operations} operations"


@pytest.mark.slow
def test_five_processes_of_which_two_are_killed_make_the_results_of_one(campaign):
    """``benchmarks/shared_runs.py`` does it fifty times."""
    campaign, _ = campaign(shared())
    wrong, _ = campaign.share(processes=5, killed=2, seconds=4.0, rng=random.Random(0))
    assert wrong == []
