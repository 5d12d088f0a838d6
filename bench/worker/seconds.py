"""How long something took: by the clock, and in processor time, which other work on the machine does not lengthen."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Seconds:
    """Of one piece of work."""

    clock: float = 0.0
    processor: float = 0.0
    """Of all threads together, in user and system mode."""

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.clock + other.clock, self.processor + other.processor)

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.clock - other.clock, self.processor - other.processor)


def so_far() -> Seconds:
    """Of this process and of those that it has started and waited for, from some moment on: differences count."""
    return Seconds(time.monotonic(), sum(os.times()[:4]))
