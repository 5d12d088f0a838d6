"""Tell life-cycle plugins what happens; one that fails is named in a warning and harms nothing else."""

from __future__ import annotations

import logging
from typing import Any

from bench.errors import one_line
from bench.plugins import life_cycle

_log = logging.getLogger("bench")


class LifeCycle:
    """The installed life-cycle plugins."""

    def __init__(self) -> None:
        self._manager, broken = life_cycle()
        for error in broken:
            _log.warning("warning: %s", error)

    def tell(self, hook: str, **fields: Any) -> None:
        """Call ``hook`` (a name of :class:`bench.plugins.Hooks`) of every plugin."""
        plugins = self._manager.get_plugins()
        for plugin in plugins:
            call = self._manager.subset_hook_caller(hook, plugins - {plugin})
            try:
                call(**fields)
            except Exception as error:  # noqa: BLE001 (a tracker must not end the run that it tracks)
                name = self._manager.get_name(plugin)
                _log.warning("warning: plugin '%s' failed in %s: %s", name, hook, one_line(error))
