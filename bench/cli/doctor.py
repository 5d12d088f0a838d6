"""``bench doctor``."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

import click

RECOMMENDED = ("torch", "transformers", "peft", "recbole", "optuna")


@click.command("doctor")
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(results: Path, as_json: bool) -> None:
    """Say what is installed, what is broken and what this machine can run. Exit status 1 if something is broken."""
    from bench.data import raw
    from bench.data.catalog import cards
    from bench.files import cache_folder
    from bench.runs import machine
    from bench.runs.health import check_plugins

    facts = machine.hardware()
    lines = [
        ("ok", "python", f"{sys.version.split()[0]} ({sys.executable})"),
        ("ok", "machine", f"{facts['cores']} cores, {facts['memory_gib']} GiB, {facts['processor']}"),
        ("ok", "device", machine.device("auto")),
    ]
    for package in RECOMMENDED:
        there = importlib.util.find_spec(package) is not None
        lines.append(("ok" if there else "--", package, metadata.version(package) if there else "not installed"))
    lines += [_folder("cache", cache_folder()), _folder("results", results)]
    for health in check_plugins():
        lines.append(("bad" if health.error else "ok", f"plugin {health.name}", health.error or health.distribution))
    for card in cards().values():
        local = raw.find_local(card, None)
        if local is None:
            lines.append(("--", f"data {card.name}", f"not here, see 'bench datasets info {card.name}'"))
        else:
            places = dict.fromkeys(str(path.parent) for path in local.paths.values())
            lines.append(("ok", f"data {card.name}", f"found in {', '.join(places)}"))
    if as_json:
        click.echo(
            json.dumps([{"state": state, "what": what, "detail": detail} for state, what, detail in lines], indent=2)
        )
    else:
        for state, what, detail in lines:
            click.echo(f"{state:4} {what:18} {detail}")
    if any(state == "bad" for state, _, _ in lines):
        raise SystemExit(1)


def _folder(name: str, folder: Path) -> tuple[str, str, str]:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    if not os.access(existing, os.W_OK) or not existing.is_dir():
        return "bad", name, f"{folder}: cannot be written, check its permissions"
    return ("ok" if free > 1 else "bad"), name, f"{folder}, {free:.1f} GiB free"
