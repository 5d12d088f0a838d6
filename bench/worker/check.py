"""The process that imports a plugin and checks its hooks; arguments: its group and name."""

from __future__ import annotations

import sys

from bench.errors import one_line
from bench.messages.description import FINE
from bench.plugins import check_module, installed


def main(group: str, name: str) -> int:
    """Say on the last line what is wrong, or that nothing is."""
    try:
        check_module(next(plugin for plugin in installed(group) if plugin.name == name))
    except Exception as error:  # noqa: BLE001 (a stranger's code may raise anything)
        sys.stderr.write(f"\n{one_line(error)}\n")
        return 1
    sys.stdout.write(f"\n{FINE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
