"""Kill each command at some of its file operations; ``benchmarks/kills.py`` tries all of them."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kills import Campaign, scenarios

TRIED = 6
"""Operations of each command, spread evenly."""


@pytest.mark.slow
@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
def test_nothing_is_lost_wherever_a_command_is_killed(scenario, tiny_cards, rough_site, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(rough_site)
    monkeypatch.setenv("PYTHONPATH", str(rough_site))
    monkeypatch.setenv("BENCH_PLUGINS", "rough-plugin,recsys-bench-classic")
    campaign = Campaign(scenario, tmp_path)
    campaign.prepare()
    assert campaign.operations > 3
    step = max(1, campaign.operations // TRIED)
    wrong = {at: found for at in range(1, campaign.operations + 1, step) if (found := campaign.kill(at))}
    assert wrong == {}, f"of {campaign.operations} operations"
    assert os.environ["BENCH_CACHE_DIR"].startswith(str(tmp_path))
