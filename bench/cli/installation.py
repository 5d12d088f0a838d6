"""Are the packages that the core requires there, new enough, and able to be imported? Standard library alone."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
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
    """What is wrong, and the way out, by package that the core requires; empty if all is well."""
    found, required = {}, _required()
    processes = {}
    for package, requirement in required.items():
        try:
            installed = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = f"is not installed: {_install(requirement)}"
            continue
        if not satisfies(installed, requirement):
            found[package] = f"{installed} is installed where {requirement} is needed: {_install(requirement)}"
            continue
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


def _install(*requirements: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", "--force-reinstall", *requirements])


def _required() -> dict[str, str]:
    """Requirements of the core by package, without those of extras."""
    try:
        lines = metadata.requires(_CORE) or []
    except metadata.PackageNotFoundError:  # a source tree that was never installed
        return {}
    required = {}
    for line in (line for line in lines if "extra" not in line.partition(";")[2]):
        requirement = line.partition(";")[0].replace(" ", "")
        required[re.split(r"[^\w.-]", requirement)[0].lower()] = requirement
    return required


def satisfies(version: str, requirement: str) -> bool:
    """Whether ``version`` is at least what ``name>=VERSION`` asks for; other bounds are taken as met."""
    least = re.search(r">=([\d.]+)", requirement)
    return least is None or _numbers(version) >= _numbers(least[1])


def _numbers(version: str) -> list[int]:
    release = re.match(r"[\d.]*", version)
    found = [int(part) for part in re.findall(r"\d+", release[0] if release else "")]
    while found and not found[-1]:
        found.pop()
    return found
