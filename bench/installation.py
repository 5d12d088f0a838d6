"""Are the packages that the core requires there, as wanted, and able to be imported? Standard library alone.

``python -m bench.installation`` prints what is wrong as JSON: so an environment is asked for what it lacks.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

_CORE = "recsys-bench"
_PROBES = {
    "pandas": "import pandas; pandas.DataFrame({'a': [1]})",
    "pyarrow": "import numpy, pyarrow.parquet; pyarrow.array(numpy.zeros(1))",
    "pydantic": "import pydantic; pydantic.create_model('M', a=(int, 1))()",
    "pyyaml": "import yaml",
}
"""What shows that a package works, where it is more than its import or has another name."""
_PATIENCE = 120.0
"""Seconds for all imports together."""


def broken() -> dict[str, str]:
    """What is wrong, and the way out, by package that the core requires, itself or through others; empty if nothing."""
    found = {name: f"{what}: {_install(requirement)}" for name, requirement, what in _unmet()}
    required, processes = _required(), {}
    for package in required:
        if package not in found:
            words = [sys.executable, "-P", "-c", _PROBES.get(package, f"import {package}")]
            processes[package] = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for package, process in processes.items():
        try:
            _, told = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            told = f"its import took more than {_PATIENCE:.0f} s"
        if process.returncode:
            last = " ".join((told.strip().splitlines() or [f"exit status {process.returncode}"])[-1].split())
            others = [name for name in ("numpy", package) if name in required]
            fix = _install(*(required[name] for name in dict.fromkeys(others)))
            found[package] = f"{metadata.version(package)} cannot be imported ({last[:200]}): {fix}"
    return found


def broken_in(interpreter: str, environment: dict[str, str]) -> dict[str, str]:
    """:func:`broken` in another environment: of its ``interpreter``, under these variables."""
    words = [interpreter, "-P", "-m", "bench.installation"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    try:
        found: dict[str, str] = json.loads(done.stdout)
    except ValueError:
        last = " ".join((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1].split())
        return {_CORE: f"cannot be imported there ({last[:200]})"}
    return found


def _install(*requirements: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", "--force-reinstall", *requirements])


def _unmet() -> Iterator[tuple[str, str, str]]:
    """Package, requirement and what is wrong, of the core's requirements and theirs, each package once."""
    todo = [(_CORE, requirement) for requirement in _required().values()]
    seen, told = set(), set()
    while todo:
        by, requirement = todo.pop(0)
        package = _package(requirement)
        try:
            installed = metadata.version(package)
        except metadata.PackageNotFoundError:
            what = "is not installed" if by == _CORE else f"is not installed, and {by} needs it"
        else:
            if package not in seen:
                todo += [(package, line) for line in _lines(package)]
            seen.add(package)
            if satisfies(installed, requirement):
                continue
            of = "" if by == _CORE else f" by {by}"
            what = f"{installed} is installed where {requirement} is needed{of}"
        if package not in told:
            told.add(package)
            yield package, requirement, what


def _required() -> dict[str, str]:
    """Requirements of the core by package, without those of extras."""
    return {_package(line): line for line in _lines(_CORE)}


def _package(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def _lines(distribution: str) -> list[str]:
    """What it requires whatever the system: a line with a marker, such as one of an extra, is left out."""
    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:  # a source tree that was never installed
        return []
    return [line.replace(" ", "").replace("(", "").replace(")", "") for line in lines if ";" not in line]


def satisfies(version: str, requirement: str) -> bool:
    """Whether ``version`` is within the bounds ``>= > <= < ==`` of ``name>=VERSION,…``; others are taken as met."""
    own = _numbers(version)
    for sign, bound in re.findall(r"(>=|<=|==|(?<![~=!])[<>](?!=))([\d.]+)(?![\d.]*\*)", requirement.partition("@")[0]):
        other = _numbers(bound)
        fits = {">=": own >= other, "<=": own <= other, "==": own == other, ">": own > other, "<": own < other}
        if not fits[sign]:
            return False
    return True


def _numbers(version: str) -> list[int]:
    release = re.match(r"[\d.]*", version)
    found = [int(part) for part in re.findall(r"\d+", release[0] if release else "")]
    while found and not found[-1]:
        found.pop()
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(broken()))
