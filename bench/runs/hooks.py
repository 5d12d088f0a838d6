"""Tell life-cycle plugins and trackers what happens.

What they print goes to standard error. One that fails, exits or is slow is named in a warning, once for each hook, and
harms nothing else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from bench.errors import BenchError
from bench.plugins import guarded, life_cycle, trackers

_log = logging.getLogger("bench")

SLOW = 1.0
"""Seconds that a hook may take before a warning names it: the run waits for it."""


class LifeCycle:
    """The installed life-cycle plugins, and the trackers that are named.

    Raises
    ------
    BenchError
        If there is no such tracker, or it cannot be used.
    """

    def __init__(self, track: Sequence[str] = ()) -> None:
        self._manager, broken = life_cycle(track)
        self._warned: set[tuple[str, str, str]] = set()
        for error in broken:
            _log.warning("warning: %s", error)

    @classmethod
    def of_trackers(cls, track: Sequence[str]) -> LifeCycle:
        """The named trackers alone."""
        found = cls.__new__(cls)
        found._manager, found._warned = trackers(track), set()
        return found

    def tell(self, hook: str, **fields: Any) -> None:
        """Call ``hook`` (a name of :class:`bench.plugins.Hooks`) of every plugin. Lists are given as tuples."""
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        plugins = self._manager.list_name_plugin()
        for name, plugin in plugins:
            call = self._manager.subset_hook_caller(hook, [other for _, other in plugins if other is not plugin])
            if not call.get_hookimpls():
                continue
            start = time.monotonic()
            try:
                with guarded("failed"):
                    call(**fields)
            except BenchError as error:
                self._warn(name, hook, str(error))
            if (seconds := time.monotonic() - start) > SLOW:
                self._warn(name, hook, f"slow, the run waited {seconds:.1f} s for it")

    def _warn(self, plugin: str, hook: str, what: str) -> None:
        """Tell it, unless the same kind of trouble was told of this plugin and hook."""
        told = (plugin, hook, what.partition(" ")[0])
        if told not in self._warned:
            self._warned.add(told)
            _log.warning("warning: plugin '%s' in %s (told once): %s", plugin, hook, what)
