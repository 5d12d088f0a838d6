"""A benchmark of recommenders: one honest table, with identical splits, for all users and the long tail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.errors import BenchError as BenchError
    from bench.runs.run import run as run

__all__ = ["BenchError", "run"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import bench`` and ``bench --help`` stay light."""
    if name == "run":
        from bench.runs.run import run

        return run
    if name == "BenchError":
        from bench.errors import BenchError

        return BenchError
    raise AttributeError(f"module 'bench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
