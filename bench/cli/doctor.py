"""``bench doctor``."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.errors import one_line, plain

if TYPE_CHECKING:
    from bench.messages.cell import Cell
    from bench.messages.events import Event

RECOMMENDED = ("torch", "transformers", "peft", "recbole", "optuna")


@click.command("doctor")
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option("--leaks", is_flag=True, help="Instead, check models for knowledge that they must not have.")
@click.option("--models", help="For --leaks: the models to check.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(results: Path, leaks: bool, models: str | None, as_json: bool) -> None:
    """Say what is installed, what is broken and what this machine can run. Exit status 1 if something is broken.

    With --leaks, run models on data on which only a cheat scores above chance, and on data with telling ids.
    """
    lines = _leaks(models) if leaks else _health(results)
    if as_json:
        keys = ("state", "what", "detail")
        click.echo(json.dumps([dict(zip(keys, line, strict=True)) for line in lines], indent=2))
    else:
        width = max(len(what) for _, what, _ in lines)
        for state, what, detail in lines:
            click.echo(f"{state:4} {what:{width}} {detail}")
    if any(state == "bad" for state, _, _ in lines):
        raise SystemExit(1)


def _leaks(models: str | None) -> list[Line]:
    from bench.errors import BenchError
    from bench.runs.leaks import check_leaks

    if not models:
        raise BenchError("--leaks needs --models: name the models to check")
    names = [name.strip() for name in models.split(",") if name.strip()]
    findings = check_leaks(names, watch=_tell)
    return [("ok" if f.passed else "bad", f"{f.model}, {f.check}", f.detail) for f in findings]


def _tell(cell: Cell, event: Event) -> None:
    if event.event in ("started", "finished"):
        click.echo(f"{cell.dataset}: {cell.label} {event.event}", err=True)


_FIRST = "not checked before the requirements are there"

Line = tuple[str, str, str]
"""``ok``, ``--`` or ``bad``, what, and details."""


def _health(results: Path) -> list[Line]:
    """All checks; one that fails itself, where the installation is broken, is a line, and the others go on."""
    lines: list[Line] = [("ok", "python", f"{sys.version.split()[0]} ({sys.executable})"), *_requirements()]
    checks: dict[str, Callable[[], list[Line]]] = {
        "machine": _machine,
        "confinement": _confinement,
        "packages": _packages,
        "results": lambda: [_folder("results", results)],
        "cache": _cache,
        "work": lambda: _work(results),
        "environments": _environments,
        "plugins": _plugins,
        "data": _data,
    }
    incomplete = lines[-1][0] == "bad"
    if incomplete:
        del checks["plugins"]  # each would fail for this reason
        lines.append(("--", "plugins", _FIRST))
    for name, check in checks.items():
        try:
            lines += check()
        except Exception as error:  # noqa: BLE001 (any package may be broken here, in any way)
            lines.append(("--", name, _FIRST) if incomplete else ("bad", name, f"cannot be checked: {one_line(error)}"))
    return lines


def _requirements() -> list[Line]:
    from bench.installation import broken

    found = broken()
    return [("bad", f"requirement {package}", what) for package, what in found.items()] or [
        ("ok", "requirements", "all there, and can be imported")
    ]


def _machine() -> list[Line]:
    from bench.runs import environment

    facts = environment.hardware()
    return [
        ("ok", "machine", f"{facts['cores']} cores, {facts['memory_gib']} GiB, {facts['processor']}"),
        ("ok", "device", environment.device("auto")),
    ]


def _confinement() -> list[Line]:
    from bench.worker.confine import Unconfined, abi, held

    try:
        return [("ok", "confinement", f"workers are held to {held(abi(), network=False)}")]
    except Unconfined as error:
        return [("--", "confinement", f"workers run unconfined, and rows say so: {error}")]


def _packages() -> list[Line]:
    lines: list[Line] = []
    for package in RECOMMENDED:
        try:
            lines.append(("ok", package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            lines.append(("--", package, "not installed"))
    return lines


def _cache() -> list[Line]:
    from bench.files import cache_folder

    return [_folder("cache", cache_folder())]


def _environments() -> list[Line]:
    """Of plugins that have one of their own: whether it is there, and works with the core."""
    from bench.isolated import environments
    from bench.runs.install import lacks

    return [
        ("bad", f"environment {one.name}", trouble)
        if (trouble := one.problem or lacks(one))
        else ("ok", f"environment {one.name}", str(one.folder))
        for one in environments()
    ]


def _plugins() -> list[Line]:
    from bench.plugins import TRACKERS
    from bench.runs.describe import check_plugins

    return [
        (
            "ok" if not health.error else "--" if health.group == TRACKERS else "bad",  # trackers' packages are extras
            plain(f"plugin {health.name}"),
            health.error or health.distribution,
        )
        for health in check_plugins()
    ]


def _data() -> list[Line]:
    from bench.data import raw
    from bench.data.catalog import cards

    lines: list[Line] = []
    for card in cards().values():
        local = raw.locate_local(card, None)
        if local is None:
            lines.append(("--", f"data {card.name}", f"not here, see 'bench datasets info {card.name}'"))
        else:
            places = dict.fromkeys(str(path.parent) for path in local.paths.values())
            lines.append(("ok", f"data {card.name}", f"found in {', '.join(places)}"))
    return lines


def _work(results: Path) -> list[Line]:
    """What interrupted attempts left, if anything."""
    from bench.runs.store import Store

    cells = Store(results).cells
    sizes = {
        folder.parent: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for folder in cells.glob("*/work")
    }
    sizes = {folder: size for folder, size in sizes.items() if size}
    if not sizes:
        return []
    what = f"{sum(sizes.values()) / 2**20:,.1f} MiB of checkpoints that {len(sizes)} unfinished cells left in {cells}"
    return [("--", "work", f"{what} for their next attempt; 'bench results prune unfinished' removes them")]


def _folder(name: str, folder: Path) -> Line:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    if not os.access(existing, os.W_OK) or not existing.is_dir():
        return "bad", name, f"{folder}: cannot be written, check its permissions"
    return ("ok" if free > 1 else "bad"), name, f"{folder}, {free:.1f} GiB free"
