"""RecBole's general and sequential recommenders as models of the benchmark.

Nothing heavy is imported here: torch and RecBole come in when the first model is asked for.
"""

from __future__ import annotations

from typing import Any

from bench.contract import hookimpl
from bench.errors import BenchError

_INSTALL = "pip install --no-deps recbole==1.2.1"


@hookimpl
def bench_model(name: str) -> type[Any]:
    """The model class for one of the short names, or for ``recbole:`` and a RecBole class name.

    Raises
    ------
    BenchError
        If RecBole is not installed, has no such model, or has it for data that the benchmark does not hand out.
    """
    try:
        from bench_recbole.registry import model_class
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "recbole":
            raise
        raise BenchError(f"'{name}' needs RecBole, which is not installed: {_INSTALL}") from error
    return model_class(name)
