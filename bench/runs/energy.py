"""Energy that this machine takes while a cell runs, by the counters of its processors and NVIDIA GPUs."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, one_line

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the counters of Intel and AMD processors."""
_JOULES_A_KWH = 3.6e6
_EVERY = 10.0
"""Seconds between two looks: the counter of a busy processor starts anew after some minutes at the least."""


@dataclass
class _Counter:
    """One that only rises, up to where it starts anew."""

    read: Callable[[], int]
    joules: float
    """Of one step."""
    most: int | None = None
    """Where it starts anew at 0; None for never."""
    last: int = 0
    steps: int = 0

    def begin(self) -> None:
        self.last, self.steps = self.read(), 0

    def look(self) -> None:
        now = self.read()
        self.steps += now - self.last + (self.most or 0) * (now < self.last)
        self.last = now


@dataclass
class Spent:
    """What was measured."""

    kwh: float | None = None
    """None until the end."""


@dataclass
class Meter:
    """The counters of this machine. They count all that runs on it: one cell at a time can be measured."""

    counters: Sequence[_Counter]

    @contextmanager
    def measured(self) -> Iterator[Spent]:
        """Measure what the block takes."""
        spent, ended = Spent(), threading.Event()
        for counter in self.counters:
            counter.begin()
        thread = threading.Thread(target=self._watch, args=(ended,), daemon=True)
        thread.start()
        try:
            yield spent
        finally:
            ended.set()
            thread.join()
        self._look()
        spent.kwh = sum(counter.steps * counter.joules for counter in self.counters) / _JOULES_A_KWH

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        for counter in self.counters:
            counter.look()


def find_meter(with_gpus: bool) -> Meter:
    """The counters of the processors, their memory, and, ``with_gpus``, of all NVIDIA GPUs.

    Raises
    ------
    ConfigError
        If this machine has none that can be read.
    """
    zones = [path for path in sorted(POWERCAP.glob("intel-rapl:*")) if _is_part(path)]
    if not zones:
        raise ConfigError(
            f"--energy: no counter of processors in {POWERCAP}: it takes Linux on an Intel or AMD machine"
        )
    try:
        counters = [_Counter(partial(_number, zone / "energy_uj"), 1e-6, _span(zone)) for zone in zones]
        for counter in counters:
            counter.read()
    except (OSError, ValueError) as error:
        way = f"sudo chmod a+r {POWERCAP}/intel-rapl:*/energy_uj"
        raise ConfigError(f"--energy: a counter cannot be read ({one_line(error)}): {way}") from error
    return Meter([*counters, *(_gpus() if with_gpus else ())])


def _is_part(zone: Path) -> bool:
    """Whether a zone is a processor, or memory, which is not in it; others are parts of these, or the whole machine."""
    try:
        name = (zone / "name").read_text().strip()
    except OSError:
        return False
    return name.startswith("package") or name == "dram"


def _span(zone: Path) -> int:
    return _number(zone / "max_energy_range_uj") + 1


def _number(path: Path) -> int:
    return int(path.read_text())


def _gpus() -> list[_Counter]:
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError as error:
        raise ConfigError("--energy: GPUs are read by nvidia-ml-py: pip install 'recsys-bench[energy]'") from error
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
        counters = [_Counter(partial(nvml.nvmlDeviceGetTotalEnergyConsumption, handle), 1e-3) for handle in handles]
        for counter in counters:
            counter.read()
    except nvml.NVMLError as error:
        raise ConfigError(f"--energy: a GPU has no counter that can be read ({one_line(error)})") from error
    return counters
