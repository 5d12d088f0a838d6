"""Environments of their own for plugins whose packages do not go together with those of the core.

Each is a folder, named as the distribution that brings its models, with a virtual environment and, put in place last,
``environment.json``: a folder without it is an environment that was never finished. What is installed in it is read
from its metadata; nothing of it is imported in the parent. Only models live there: hooks and readers run in the parent.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import platformdirs
from pydantic import ValidationError

from bench.files import content_hash, file_hash
from bench.strict import Strict

VARIABLE = "BENCH_ENVIRONMENTS_DIR"
RECORD = "environment.json"


class Record(Strict):
    """The content of ``environment.json``."""

    distribution: str
    """Whose models are seen."""
    asked: list[str]
    """What was installed beside the core, as it was asked for."""
    core: str
    """Folder of the core's package that its workers import."""


@dataclass(frozen=True)
class Isolated:
    """An environment of its own."""

    folder: Path
    record: Record

    @property
    def name(self) -> str:
        """The name that 'bench plugin remove' takes."""
        return self.folder.name

    @property
    def interpreter(self) -> str:
        """Its Python."""
        return str(interpreter_of(self.folder))

    def distribution(self, name: str) -> metadata.Distribution | None:
        """What is installed in it under a name."""
        return next(iter(metadata.distributions(name=name, path=sites(self.folder))), None)

    @property
    def problem(self) -> str:
        """Why it cannot be used as far as files tell, and the way out; empty if they tell nothing."""
        again = f"'bench plugin remove {self.name}' and add it again"
        if not os.access(self.interpreter, os.X_OK):
            return f"the Python of its environment {self.folder} is gone: {again}"
        if self.distribution(self.record.distribution) is None:
            return f"{self.record.distribution} is not installed in its environment {self.folder} any more: {again}"
        if _source_hash(self.record.core) != _source_hash(str(Path(__file__).parent)):
            return f"its environment {self.folder} has another version of recsys-bench than this one: {again}"
        return ""


def folder() -> Path:
    """Where environments lie: ``$BENCH_ENVIRONMENTS_DIR``, or ``recsys-bench/environments`` in the user's data."""
    if named := os.environ.get(VARIABLE):
        return Path(named).absolute()
    return Path(platformdirs.user_data_dir("recsys-bench", appauthor=False)) / "environments"


def environments() -> list[Isolated]:
    """All finished ones by name; none in a worker, whose interpreter is its environment."""
    if os.environ.get(VARIABLE) == "":
        return []
    return list(_finished())


def _finished() -> Iterator[Isolated]:
    for path in sorted(folder().glob(f"*/{RECORD}")):
        try:
            yield Isolated(path.parent, Record.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):  # half removed, or of another version
            continue


def interpreter_of(environment: Path) -> Path:
    """The Python of a virtual environment."""
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def sites(environment: Path) -> list[str]:
    """The folders of installed packages of a virtual environment."""
    return [str(path) for path in sorted(environment.glob("lib/python*/site-packages"))]


@cache
def _source_hash(package: str) -> str:
    """Of the Python files of a package, by name."""
    files = sorted(Path(package).rglob("*.py"))
    return content_hash({str(path.relative_to(package)): file_hash(path) for path in files})
