"""The process that hashes the code of models in their environment: ``OUTPUT/hashes.json`` out.

Arguments: ``OUTPUT``, ``code`` or ``description``, and names of models. No plugin is imported.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.code import code_hash, description_hash
from bench.errors import BenchError, one_line
from bench.files import write_json
from bench.plugins import installed

HASHES = {"code": code_hash, "description": description_hash}


def main(told: Path, kind: str, names: list[str]) -> None:
    """Write a ``hash`` or an ``error`` for each name."""
    plugins = {plugin.name: plugin for plugin in installed()}
    answers = []
    for name in names:
        try:
            answers.append({"hash": HASHES[kind](plugins[name])})
        except BenchError as error:
            answers.append({"error": one_line(error)})
    write_json(told / "hashes.json", answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
