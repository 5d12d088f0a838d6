"""Download what a model needs, in a plugin process that has network and no data."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.errors import PluginError
from bench.messages.description import ModelRequest
from bench.plugins import find_model
from bench.runs.process import Child, Rights, run_to_end, verdict


def fetch_model(request: ModelRequest) -> None:
    """Run the class's ``fetch`` for the config of ``request``, into the model hub's cache.

    Raises
    ------
    PluginError
        With the last line of what it printed, if it failed.
    """
    plugin = find_model(request.model)
    child = Child(plugin.interpreter, "bench.worker.fetch", Rights(network=True))
    with tempfile.TemporaryDirectory(prefix="bench-fetch-") as name:
        status, lines = run_to_end(child, Path(name), [request.model_dump_json()])
    if status:
        last = lines[-1].removeprefix("error: ") if lines else verdict(status)
        raise PluginError(f"{request.model}: {last}")
