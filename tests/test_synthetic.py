"""The data set that the core carries."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.data.catalog import card
from bench.data.prepare import prepare

ROOT = Path(__file__).parent.parent


def test_it_is_there_without_raw_files_or_network(new_cache, monkeypatch):
    monkeypatch.setattr("requests.sessions.Session.request", lambda *words, **choices: pytest.fail("it asked the net"))
    dataset = prepare(card("synthetic"))
    rows = (ROOT / "bench/data/synthetic/interactions.csv").read_text().splitlines()[1:]
    assert len(dataset.interactions) == len(rows)
    assert dataset.interactions.n_users == len({row.split(",")[0] for row in rows})
    assert dataset.interactions.n_items == len({row.split(",")[1] for row in rows})


def test_every_item_has_a_title_of_its_own():
    lines = (ROOT / "bench/data/synthetic/items.csv").read_text().splitlines()[1:]
    assert len({line.split(",")[1] for line in lines}) == len(lines) == 240


@pytest.mark.slow
def test_it_is_what_its_script_makes(tmp_path):
    subprocess.run([sys.executable, ROOT / "benchmarks/synthetic_data.py", tmp_path], check=True)
    for name in ("interactions.csv", "items.csv"):
        assert (tmp_path / name).read_bytes() == (ROOT / "bench/data/synthetic" / name).read_bytes()
