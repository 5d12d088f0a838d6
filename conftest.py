"""What the tests of the core and of all plugins share: none touches the repository, the user's cache or raw data."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("the same everywhere", derandomize=True, deadline=None, database=None)
settings.load_profile("the same everywhere")
os.environ["NUMBA_DISABLE_JIT"] = "1"  # before ranx is imported: it would compile for 40 s to measure small lists
RAW_DIR = os.environ.get("BENCH_RAW_DIR")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without BENCH_RAW_DIR, tests of real raw files are not chosen; nothing is skipped."""
    raw = [item for item in items if item.get_closest_marker("raw")]
    if raw and not RAW_DIR:
        config.hook.pytest_deselected(items=raw)
        items[:] = [item for item in items if item not in raw]


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for all tests; workers of pytest-xdist share it, as runs of one user share theirs."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def _isolated(session_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE_DIR", str(session_cache))
    monkeypatch.setenv("BENCH_ENVIRONMENTS_DIR", "")  # none
    for name in ("BENCH_RAW_DIR", "BENCH_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def raw_dir() -> Path:
    """The real raw files; only tests marked ``raw`` may ask for it."""
    assert RAW_DIR
    return Path(RAW_DIR).resolve()
