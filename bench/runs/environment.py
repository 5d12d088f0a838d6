"""Where and with what a result was made."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from bench.errors import BenchError


@cache
def hardware() -> dict[str, Any]:
    """Processor, usable cores, memory in GiB and operating system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": _processor(), "cores": cores(), "memory_gib": round(memory, 1), "system": platform.platform()}


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_mib() -> float:
    """Memory that this process and its children may use: the machine's, or the limit of its container."""
    limits = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    found = [float(hardware()["memory_gib"]) * 1024]
    for path in limits:
        with contextlib.suppress(OSError, ValueError):  # another system, or "max"
            found.append(int(path.read_text()) / 2**20)
    return min(found)


def free_mib() -> float:
    """Memory that no process uses now; all of it where the system does not say so."""
    try:
        told = Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]
        return int(told) / 1024
    except (OSError, IndexError, ValueError):
        return memory_mib()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def device(wanted: str) -> str:
    """``wanted``, or for ``auto`` what this machine has: ``cuda`` if an NVIDIA driver is loaded, else ``cpu``.

    Raises
    ------
    BenchError
        If it is no device of torch, or ``cuda`` without a driver.
    """
    driver = Path("/proc/driver/nvidia/version").exists()
    if wanted == "auto":
        return "cuda" if driver else "cpu"
    if not re.fullmatch(r"cpu|mps|xpu|cuda(:\d+)?", wanted):
        raise BenchError(f"'{wanted}' is no device: give auto, cpu, cuda, cuda:N, mps or xpu")
    if wanted.startswith("cuda") and not driver:
        raise BenchError(f"this machine has no NVIDIA driver for --device {wanted}: give cpu or auto")
    return wanted


@cache
def gpus() -> tuple[str, ...]:
    """NVIDIA GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return tuple(filter(None, (name.strip() for name in told.split(","))))
    return tuple(str(number) for number, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*")))


@cache
def git_revision() -> str | None:
    """Revision of the source tree that the harness runs from, ``+`` if it has changes; None outside of git."""
    here = Path(__file__).parent
    try:
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)  # or it is installed inside somebody else's tree
        revision = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ":/bench", ":/plugins")
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision + ("+" if changed else "")


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def command_line() -> str:
    """The command that was given, fit for a shell; ``python -m bench`` is ``bench``."""
    name = Path(sys.argv[0]).name
    return shlex.join(["bench" if name == "__main__.py" else name, *sys.argv[1:]])
